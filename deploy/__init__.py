"""What builds Bentos and container images, and what runs them: compose file, Kubernetes manifests."""
