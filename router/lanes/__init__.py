"""How does one version answer many rows at once? Queues, caches, endpoints and their health."""
