"""Projects, their members and their cell classes; who may open a project."""
