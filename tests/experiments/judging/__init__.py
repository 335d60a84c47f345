"""What should be done with an experiment?"""
