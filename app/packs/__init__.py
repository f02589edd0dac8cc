"""Lab packs: a project's classes, classifier, embeddings and labels as one signed archive for another installation."""
