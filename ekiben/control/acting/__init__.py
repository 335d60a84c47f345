"""Who changes the document, and when? People by verbs, ramps by rules, the applier by the file."""
