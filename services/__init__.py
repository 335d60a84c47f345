"""How does a model answer? A folder for each model: its schema, and a BentoML service for each version."""
