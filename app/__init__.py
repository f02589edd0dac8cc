"""What the lab does: projects, slides, cells, labels, classifiers, predictions. Starts without torch.

Words, one noun for one thing: a *project* is a classification task with its *cell classes*, members and *scanners*.
A *slide* is one submission from one scanner, a *field* a large image of it from which cells are cut. A *cell* is one
single-cell image of a slide. An *annotation* says who gave which class to which cell; a *reading* is what somebody saw
in a cell without seeing its label or prediction. An *encoder* turns an image into an *embedding*; a *classifier* is a
light head fitted on embeddings; its probabilities for all cells are one *score table*. A *job* is asynchronous work, a
row.
"""
