"""The map: all cells of a project on a plane, those alike close together."""
