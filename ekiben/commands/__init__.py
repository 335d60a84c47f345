"""Which commands are there, and what do they take? Thin functions, one for each command."""
