"""Fields of a slide: looked at in tiles, and the boxes of their cells drawn by hand."""
