"""Score tables: what one classifier says about every cell, read from storage and kept for the next request."""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.cells.index import Columns
from app.db import reading
from app.errors import NotFound
from app.kept import Kept
from app.language import _
from app.models import Classifier
from app.storage import get_storage

Floats = npt.NDArray[np.float16]
NO_CLASS = -1
KEPT = 8  # tables in memory; a million cells of eight classes take 34 MB

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreTable:
    """A row per cell in the order of cell ids: `proba` (n, classes), the rest (n,); `predicted` is a column of `proba`.

    `confidence` is the highest probability, `margin` its distance to the second, `novelty` 1 where only 5 % of the
    labelled cells are as far from every class.
    """

    cell_ids: npt.NDArray[np.int64]
    proba: Floats
    predicted: npt.NDArray[np.int16]
    confidence: Floats
    margin: Floats
    novelty: Floats

    def aligned(self, columns: Columns) -> "ScoreTable":
        """Return the table with a row for each of `columns`; cells it does not know have NO_CLASS and zeros."""
        if np.array_equal(columns.cell_ids, self.cell_ids):
            return self
        place = np.minimum(np.searchsorted(self.cell_ids, columns.cell_ids), len(self.cell_ids) - 1)
        known = self.cell_ids[place] == columns.cell_ids
        zeros = np.float16(0)
        return ScoreTable(
            columns.cell_ids,
            np.where(known[:, None], self.proba[place], zeros),
            np.where(known, self.predicted[place], np.int16(NO_CLASS)),
            *(np.where(known, column[place], zeros) for column in (self.confidence, self.margin, self.novelty)),
        )


def newest_classifier(session: Session, project_id: int) -> Classifier | None:
    """Return the assist classifier of a project: its newest version that is not made for one scanner alone."""
    return session.scalar(
        select(Classifier)
        .where(Classifier.project_id == project_id, Classifier.scores.is_not(None), Classifier.adapted == "")
        .order_by(Classifier.version.desc())
        .limit(1)
    )


class ScoresGoneError(NotFound):
    """The score table of this version is not kept any more."""


_tables: Kept[tuple[str, int, int], ScoreTable] = Kept(KEPT)


def table_of(classifier: Classifier, columns: Columns) -> ScoreTable:
    """Return the score table of a classifier, a row for each of `columns`. Raises ScoresGoneError."""

    def load() -> ScoreTable:
        try:
            arrays = load_file(get_storage().local_path(f"scores/{classifier.scores}"))
        except FileNotFoundError:
            raise ScoresGoneError(
                _("classifier: the scores of version %(version)s are no longer kept.", version=classifier.version)
            ) from None
        return ScoreTable(**arrays).aligned(columns)

    # Cells are only ever added.
    return _tables.get((str(classifier.scores), classifier.project_id, len(columns)), load)


def newest_scores(
    session: Session, project_id: int, columns: Columns
) -> tuple[Classifier, ScoreTable] | tuple[None, None]:
    """Return the newest classifier of a project and its score table, nothing as long as there are too few labels.

    While people label, so many versions may follow each other that the table is deleted before it is read; then a newer
    one is there. If it is not, the file was lost, and the page shows no predictions until the next fit.
    """
    classifier = newest_classifier(session, project_id)
    while classifier is not None:
        try:
            return classifier, table_of(classifier, columns)
        except ScoresGoneError as error:
            before = classifier.version
            with reading() as later:  # `session` keeps seeing the state in which it began
                classifier = newest_classifier(later, project_id)
            if classifier is not None and classifier.version == before:
                log.error("project %s: the score table of version %s is missing", project_id, before, exc_info=error)
                break
    return None, None
