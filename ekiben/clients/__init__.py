"""What does a running router or controller answer? Asked over HTTP, or read from the state Redis."""
