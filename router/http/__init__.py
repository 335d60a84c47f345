"""What do all doors share? The server, keys, refusals, costs of a request, and the client of services."""
