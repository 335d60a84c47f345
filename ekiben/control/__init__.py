"""What does the controller do? It records events, analyses experiments, acts and shows the results."""
