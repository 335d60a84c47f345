"""Container images: built from Bentos with Docker or buildah."""
