"""How a version becomes a Bento and an image."""
