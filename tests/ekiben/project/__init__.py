"""What does a project of models consist of?"""
