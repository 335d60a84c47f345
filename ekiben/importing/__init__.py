"""How do late outcomes get from a file to the router, each once?"""
