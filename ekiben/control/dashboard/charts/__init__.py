"""How are numbers drawn? Inline SVG in the colours of the page."""
