"""What the pages of predictions show, put together from index, score table and database."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, exists, select
from sqlalchemy.orm import Session

from app import job_queries
from app.accounts.access import REVIEWERS
from app.annotations import sight
from app.annotations.queries import disputed, second_readings, with_annotation
from app.annotations.service import shown_source
from app.cells.index import Columns
from app.language import _, number
from app.models import Adaptation, Batch, Cell, CellClass, Classifier, Embedding, Project, Slide, User
from app.predictions import meter
from app.predictions.grid import Page, describe
from app.predictions.scores import ScoreTable
from app.projects.queries import classes

MOST_SLIDES = 500  # in the filter's list
HISTOGRAM_BINS = 20


def classes_by_code(session: Session, project_id: int) -> dict[str, CellClass]:
    """Return the classes of a project by code, in their order."""
    query = select(CellClass).where(CellClass.project_id == project_id).order_by(CellClass.position, CellClass.id)
    return {cell_class.code: cell_class for cell_class in session.scalars(query)}


def class_rows(columns: Columns, classes: dict[str, CellClass], classifier: Classifier | None) -> list[dict[str, Any]]:
    """Return each class with how many cells carry it and how many are predicted to be it.

    `seen` counts those among `count` that somebody labelled after seeing the cell, from which alone a fit learns.
    """
    highest = max((item.id for item in classes.values()), default=0)
    counts = np.bincount(columns.class_ids, minlength=highest + 1).tolist()
    seen = np.bincount(columns.class_ids[~columns.unseen], minlength=highest + 1).tolist()
    codes = {cell_class.id: code for code, cell_class in classes.items()}
    predicted = classifier.predicted if classifier else {}
    return [
        {
            "id": item.id,
            "code": code,
            "name": item.name,
            "key": item.key,
            "color": item.color,
            "parent_id": item.parent_id,
            "parent_code": codes.get(item.parent_id) if item.parent_id else None,
            "count": counts[item.id],
            "seen": seen[item.id],
            "predicted_count": predicted.get(code, 0),
        }
        for code, item in classes.items()
    ]


def tiles(
    session: Session, project: Project, user: User, page: Page, cell_ids: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """Return the cells of a page, or those among `cell_ids` that the project has, as the grid shows them to a person.

    What this person must not see yet is left out (app/annotations/sight.py).
    """
    rows = page.rows
    if cell_ids is not None:
        places = page.columns.places(cell_ids)
        rows = places[places >= 0]
    ids = page.columns.cell_ids[rows].tolist()
    query = with_annotation(Cell.name, Cell.field_id, Slide.accession).join(Slide, Slide.id == Cell.slide_id)
    facts = {row.id: row for row in session.execute(query.where(Cell.id.in_(ids)))}
    # The columns may know of cells that came after the state of the database this request reads.
    described = [item for item in describe(page, rows) if item["cell_id"] in facts]
    reasons = page.batch.reasons if page.batch else {}
    far = _distances(page, rows)
    waiting = _states(session, [item["cell_id"] for item in described if not item["predicted"]])
    for item in described:
        cell = facts[item["cell_id"]]
        item |= {
            "class_code": cell.code or "",
            "class_source": shown_source(cell.source) if cell.code else "",
            "by": (cell.by or "") if cell.code else "",
            "name": cell.name,
            "slide": cell.accession,
            "field": f"/cells/{cell.id}/field" if cell.field_id else "",
            "why": reasons.get(str(item["cell_id"]), "") or far.get(item["cell_id"], ""),
            "state": waiting.get(item["cell_id"], "ready"),
        }
    _hide(session, project, user, page, described)
    return described


def _hide(session: Session, project: Project, user: User, page: Page, tiles: list[dict[str, Any]]) -> None:
    """Take from tiles what a person must not see: predictions of audit and validation, labels before a second reading.

    In a batch for second reading they see their own readings, in one of audit or validation no prediction where it is
    blind, even after they have labelled: nothing there shall make them change their mind.
    """
    ids = np.array([tile["cell_id"] for tile in tiles], np.int64)
    rows = page.columns.places(ids)
    kind = page.batch.kind if page.batch and page.batch.user_id == user.id else ""
    unlabelled = kind in {"audit", "validation"} or page.withheld[rows]
    blind_ones = (sight.blind(ids) | page.columns.frozen[rows]) & unlabelled
    own = second_readings(session, project, ids.tolist()) if kind == "second" else {}
    codes = {item.id: item.code for item in classes(session, project)} if own else {}
    for tile, blind, unread in zip(tiles, blind_ones, page.awaiting[rows], strict=True):
        if blind:
            tile |= {"predicted": "", "confidence": None, "novelty": None, "why": _("prediction hidden")}
        if unread or kind == "second":
            code = codes.get(own.get(tile["cell_id"], {}).get(user.id, 0), "")
            hidden = {"predicted": "", "confidence": None, "novelty": None, "class_source": "label" if code else ""}
            tile |= {**hidden, "class_code": code, "by": user.name if code else "", "why": _("read blind")}


def waiting(session: Session, project: Project, user: User, page: Page) -> dict[str, int]:
    """Return how many cells wait for this person's second reading, for the audit, and for adjudication."""
    predicted = page.table is not None
    return {
        "second": int(page.awaiting.sum()),
        "audit": int(sight.audited(project, page.columns).sum()) if predicted else 0,
        "adjudication": len(disputed(session, project)) if user.role in REVIEWERS else 0,
    }


def _distances(page: Page, rows: npt.NDArray[np.int64]) -> dict[int, str]:
    """Return how far cells are from the one they are compared with, in words."""
    if page.distances is None:
        return {}
    found = zip(page.columns.cell_ids[rows].tolist(), page.distances[rows].tolist(), strict=True)
    return {cell_id: _("distance %(distance)s", distance=number(distance, 2)) for cell_id, distance in found}


def reviewed_class(batch: Batch | None, classes: dict[str, CellClass]) -> str:
    """Return the code of the class a batch is a review of, "" where it is none."""
    found = [code for code, item in classes.items() if batch and item.id == batch.class_id]
    return found[0] if found else ""


def _states(session: Session, cell_ids: Sequence[int]) -> dict[int, str]:
    """Return "waiting" for cells without an embedding and "unreadable" for those that cannot have one."""
    query = (
        select(Cell.id.label("cell_id"), Embedding.id.label("embedding_id"), Embedding.error)
        .join(Project, Project.id == Cell.project_id)
        .outerjoin(Embedding, (Embedding.image_id == Cell.image_id) & (Embedding.encoder_id == Project.encoder_id))
        .where(Cell.id.in_(cell_ids))
    )
    states = {}
    for row in session.execute(query):
        if row.embedding_id is None:
            states[row.cell_id] = "waiting"
        elif row.error:
            states[row.cell_id] = "unreadable"
    return states


def slides(session: Session, project_id: int) -> Sequence[Row[int, str]]:
    """Return id and accession of the newest slides of a project."""
    query = select(Slide.id, Slide.accession).where(Slide.project_id == project_id)
    return session.execute(query.order_by(Slide.id.desc()).limit(MOST_SLIDES)).all()


def is_new(session: Session, scanner_id: int | Literal[""]) -> bool:
    """Say whether a scanner is being adapted to, or was."""
    return bool(scanner_id) and session.scalar(select(exists().where(Adaptation.scanner_id == scanner_id))) is True


def embedding_progress(session: Session, project: Project, columns: Columns) -> dict[str, int] | None:
    """Return how many cells have their embedding, or None when all have."""
    left = job_queries.remaining_images(session, project.id)
    return {"done": max(0, len(columns) - left), "total": len(columns)} if left else None


def classifier_summary(session: Session, classifier: Classifier | None) -> dict[str, Any] | None:
    """Return version and labels of a classifier, and the accuracy of the newest one evaluated (None before the first).

    While people label fast, the next version comes before the last one is evaluated.
    """
    if classifier is None:
        return None
    evaluated = meter.evaluated(session, classifier.project_id)
    metrics = (evaluated.metrics if evaluated else None) or {}
    low, high = metrics.get("interval", (None, None))
    return {
        "version": classifier.version,
        "labels": classifier.labels,
        "balanced_accuracy": metrics.get("balanced_accuracy"),
        "evaluated": evaluated.version if evaluated else None,
        "low": low,
        "high": high,
        "meter": meter.meter(metrics) if metrics else {},
    }


def confidence_histogram(table: ScoreTable) -> list[int]:
    """Return how many cells have a confidence in each of HISTOGRAM_BINS equal parts of 0 to 1."""
    counts, _ = np.histogram(table.confidence[table.predicted >= 0], HISTOGRAM_BINS, (0, 1))
    return [int(count) for count in counts]


def confusion_order(classifier: Classifier, classes: Iterable[str]) -> list[int]:
    """Return places in the confusion matrix in the project's order; codes changed since come last."""
    found: list[str] = classifier.metrics["classes"] if classifier.metrics else []
    place = {code: at for at, code in enumerate(classes)}
    return sorted(range(len(found)), key=lambda at: place.get(found[at], len(place)))
