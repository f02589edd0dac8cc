"""Predictions as rows of a CSV file."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import select

from app.csv_stream import in_pages
from app.models import Annotation, Cell, CellClass, Classifier, Image, Scanner, Slide
from app.predictions.scores import NO_CLASS, ScoreTable


def header(classifier: Classifier) -> list[str]:
    """Return the column names; one probability per class of the classifier."""
    return [
        "cell_id", "slide", "scanner", "file", "image_sha256", "predicted", "confidence", "novelty",
        *(f"p_{code}" for code in classifier.classes), "class", "source", "classifier_version",
    ]  # fmt: skip


def rows(project_id: int, classifier: Classifier, table: ScoreTable) -> Iterator[Sequence[Any]]:
    """Yield one row per cell in the order of cell ids; cells without an embedding yet have empty predictions."""
    query = (
        select(
            Cell.id, Slide.accession, Scanner.name.label("scanner"), Cell.name, Image.sha256, CellClass.code,
            Annotation.source,
        )
        .join(Slide, Slide.id == Cell.slide_id)
        .join(Scanner, Scanner.id == Cell.scanner_id)
        .join(Image, Image.id == Cell.image_id)
        .outerjoin(CellClass, CellClass.id == Cell.class_id)
        .outerjoin(Annotation, Annotation.id == Cell.annotation_id)
        .where(Cell.project_id == project_id, ~Cell.removed)
    )  # fmt: skip
    for row in in_pages(query, Cell.id):
        scores = _scores(classifier, table, row.id)
        yield [*row[:5], *scores, row.code or "", row.source or "", classifier.version]


def _scores(classifier: Classifier, table: ScoreTable, cell_id: int) -> list[Any]:
    place = int(np.searchsorted(table.cell_ids, cell_id))
    known = place < len(table.cell_ids) and table.cell_ids[place] == cell_id
    if not known or table.predicted[place] == NO_CLASS:
        return [""] * (3 + len(classifier.classes))
    return [
        classifier.classes[table.predicted[place]],
        f"{table.confidence[place]:.4f}",
        f"{table.novelty[place]:.3f}",
        *(f"{value:.4f}" for value in table.proba[place].tolist()),
    ]
