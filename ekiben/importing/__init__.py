"""How do outcomes that come late get from a file to the router, each once?"""
