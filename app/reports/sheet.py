"""The cells of a slide with their classes: predictions of one classifier, and what people said instead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load
from sqlalchemy import literal, select
from sqlalchemy.orm import Session

from app.cells.index import columns_of
from app.language import N_
from app.models import Cell, Classifier, Image, Report, Reporting
from app.predictions.scores import newest_scores
from app.reports.differential import NONE, Ints, Kind, Mask

MOST_NOVEL = 1.0
"""Novelty above which a cell fits no class: 5 % of the cells of known classes are beyond it (docs/encoders.md)."""
UNSEEN = N_("the classifier has not seen it")
GONE = N_("its predicted class is no longer one of the project")
NOVEL = N_("fits no class")
UNSURE = N_("no class is probable enough")

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """Whose predictions a report shows. `table` holds the columns of a score table, of the slide's cells."""

    classifier: Classifier
    preliminary: bool
    reject_below: float
    table: Arrays


@dataclass(frozen=True)
class Sheet:
    """The cells of a slide in the order of counting; arrays of equal length n.

    `classes` are indices of the project's kinds, NONE where a cell is unclassified, for the reason `why`.
    """

    cells: Sequence[tuple[int, str]]  # id and sha256 of the image
    classes: Ints
    seen: Mask  # a person gave the class
    predicted: Sequence[str | None]
    probability: npt.NDArray[np.float64]
    novelty: npt.NDArray[np.float64]
    why: Sequence[str]


def source_of(session: Session, report: Report, reporting: Reporting) -> Source | None:
    """Return the predictions of an open report: those it is bound to, else the newest; None without a classifier.

    As long as the newest ones lack cells of a slide that has just come, those stored with the report are the better.
    """
    stored = _stored(session, report)
    if report.bound:
        return stored
    newest = _newest(session, report, reporting)
    return max((source for source in (newest, stored) if source), key=_seen, default=None)


def _seen(source: Source) -> int:
    return int((source.table["predicted"] != NONE).sum())


def _stored(session: Session, report: Report) -> Source | None:
    if report.classifier_id is None:
        return None
    scores = session.scalar(select(Report.scores).where(Report.id == report.id))
    classifier = session.get_one(Classifier, report.classifier_id)
    return Source(classifier, report.preliminary, report.reject_below or 0.0, load(scores or b""))


def _newest(session: Session, report: Report, reporting: Reporting) -> Source | None:
    columns = columns_of(session, report.project_id)
    classifier, table = newest_scores(session, report.project_id, columns)
    if classifier is None or table is None:
        return None
    mine = columns.slide_ids == report.slide_id
    names = ("cell_ids", "proba", "predicted", "confidence", "margin", "novelty")
    arrays = {name: np.ascontiguousarray(getattr(table, name)[mine]) for name in names}
    return Source(classifier, True, reporting.reject_below, arrays)


def sheet_of(session: Session, slide_id: int, source: Source, kinds: Sequence[Kind], *, ordered: bool) -> Sheet:
    """Put the cells of a slide in the order of counting, that of the sha256 of their images.

    It is as good as one drawn at random, and the same whoever sent the cells in whatever order: files sorted by class
    or by place on the smear would make the first hundred a poor sample. Who only wants to count all of them spares the
    order and the sha256.
    """
    query = select(Cell.id, Image.sha256 if ordered else literal("").label("sha256"), Cell.class_id)
    if ordered:
        query = query.join(Image, Image.id == Cell.image_id).order_by(Image.sha256)
    rows = session.execute(query.where(Cell.slide_id == slide_id, ~Cell.removed)).all()
    column, probability, novelty = _found(source.table, np.array([row.id for row in rows], np.int64))
    index = {kind.code: at for at, kind in enumerate(kinds)}
    guessed = np.array([*(index.get(code, NONE) for code in source.classifier.classes), NONE], np.int64)[column]
    reasons = [column == NONE, guessed == NONE, novelty > MOST_NOVEL, probability < source.reject_below]
    why = np.select(reasons, [UNSEEN, GONE, NOVEL, UNSURE], "")
    by_id = {kind.id: at for at, kind in enumerate(kinds)}
    given = np.array([by_id.get(row.class_id, NONE) for row in rows], np.int64)
    seen = given != NONE
    codes = [*source.classifier.classes, None]
    return Sheet(
        cells=[(row.id, row.sha256) for row in rows],
        classes=np.where(seen, given, np.where(why == "", guessed, NONE)),
        seen=seen,
        predicted=[codes[at] for at in column.tolist()],
        probability=probability,
        novelty=novelty,
        why=np.where(seen, "", why).tolist(),
    )


def _found(table: Arrays, cell_ids: Ints) -> tuple[Ints, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return column, probability and novelty of each cell; NONE and NaN for those the table does not know."""
    none = np.full(len(cell_ids), np.nan)
    if not len(table["cell_ids"]):
        return np.full(len(cell_ids), NONE), none, none
    place = np.minimum(np.searchsorted(table["cell_ids"], cell_ids), len(table["cell_ids"]) - 1)
    known = (table["cell_ids"][place] == cell_ids) & (table["predicted"][place] != NONE)
    return (
        np.where(known, table["predicted"][place], NONE).astype(np.int64),
        np.where(known, table["confidence"][place], none),
        np.where(known, table["novelty"][place], none),
    )
