"""What does a running router or controller say? Asked over HTTP, or read from the state Redis."""
