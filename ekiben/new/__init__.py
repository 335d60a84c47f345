"""What does a new version of a model consist of, and where is it written?"""
