"""How does data become a trained model? One folder for each model."""
