"""How does a model answer? BentoML services, one module for each version, and what they share."""
