"""How does a published version become a Bento, and a Bento an image?"""
