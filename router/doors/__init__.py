"""How do bytes become questions, and answers bytes again? One module a protocol, and no more than that."""
