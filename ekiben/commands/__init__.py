"""Which commands are there, and what do they take? Thin functions, one a command."""
