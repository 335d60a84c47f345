"""How does data become a published version? Training, comparison, the gate."""
