"""How does what is known look on a terminal? Reports, status, history, explanations."""
