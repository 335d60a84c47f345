"""How does a Bento become a container image, with Docker or buildah?"""
