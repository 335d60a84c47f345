"""Was every answer right?"""
