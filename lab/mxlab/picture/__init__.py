"""A lab as a picture: SVG, Mermaid and plain text, from one description of it."""
