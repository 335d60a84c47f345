"""How does a model answer? What all model services share, from a request's bytes to its answers."""
