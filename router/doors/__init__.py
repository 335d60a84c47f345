"""How do bytes become requests, and answers bytes again? One module for each protocol."""
