"""How does a request reach a version? The data plane routes, batches, caches and records."""
