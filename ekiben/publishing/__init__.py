"""How does a trained model become a published version? Checks, files, metrics, the gate."""
