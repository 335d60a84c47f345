"""What may follow a document, what does the change mean, and how are two changes made one? Pure."""
