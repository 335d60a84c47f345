"""The data plane: a bare ASGI app that routes, batches, caches and records predictions."""
