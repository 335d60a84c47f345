"""What do all doors share? The server, keys, refusals, and what a request may cost."""
