"""The controller: records events, analyses experiments, acts on what they say, and shows it."""
