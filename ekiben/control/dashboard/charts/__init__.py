"""Charts as inline SVG: drawn by Vega-Lite on the server, coloured by the page's own style sheet."""
