"""What a scanner showed on a day, as its reporting classifier sees it, and whether that differs from days before."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app.cells.matrix import matrix_of
from app.db import insert_into, reading
from app.models import Cell, Classifier, ControlRun, Encoder, Report, Scanner, Slide, WatchedDay
from app.models.project import lock
from app.reports.service import reporting_classifier
from app.reports.sheet import MOST_NOVEL
from app.storage import get_storage
from app.watching import queries, service
from workers.ml.artifacts import load_head
from workers.runner import Task

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Day:
    """The n cells of a day's slides: their scores, which are unclassified, and their embeddings (n, d)."""

    slides: int
    scores: Arrays
    rejected: npt.NDArray[np.bool_]
    X: npt.NDArray[np.float16]


def watch(task: Task) -> None:
    """Add up a day of a scanner and raise the alarms it gives reason for; nothing without a reporting classifier."""
    day = date.fromisoformat(task.arguments["day"])
    begin = datetime.combine(day, time(), UTC)
    with reading() as session:
        scanner = session.get_one(Scanner, task.arguments["scanner_id"])
        classifier = reporting_classifier(session, scanner.id)
        if classifier is None:
            return
        reference = queries.reference(session, scanner, classifier)
        seen = _seen(session, classifier, max(begin, reference.since) if reference else begin, begin + timedelta(1))
    if seen is None:
        return
    head, _card = load_head(get_storage().read(f"classifiers/{classifier.artifact}"))
    figures = figures_of(seen, head)
    with task.transaction() as session:
        lock(session, task.project_id)
        reference = queries.reference(session, scanner, classifier)
        reference = reference or service.begin(session, scanner, classifier, since=scanner.created_at)
        statement = insert_into(session, WatchedDay).values(reference_id=reference.id, day=day, **figures)
        unique = [WatchedDay.reference_id, WatchedDay.day]
        session.execute(statement.on_conflict_do_update(index_elements=unique, set_=figures))
        service.raise_alarms(session, reference)


def _seen(session: Session, classifier: Classifier, begin: datetime, end: datetime) -> Day | None:
    """Return the cells of the slides created from `begin` to `end` that a classifier has reported on."""
    mine = (Slide.scanner_id == classifier.scanner_id) & (Slide.created_at >= begin) & (Slide.created_at < end)
    mine &= Slide.id.not_in(select(ControlRun.slide_id))
    made = (Report.classifier_id == classifier.id) & ~Report.preliminary & Report.scores.is_not(None)
    query = select(Report).join(Slide, Slide.id == Report.slide_id).where(mine, made)
    # An amended report comes after the one it amends, and replaces it.
    query = query.options(undefer(Report.scores)).order_by(Report.version)
    reports = {report.slide_id: report for report in session.scalars(query)}
    tables = [load(report.scores or b"") for report in reports.values()]
    if not sum(len(table["cell_ids"]) for table in tables):
        return None
    scores = {name: np.concatenate([table[name] for table in tables]) for name in tables[0] if name != "proba"}
    limits = np.repeat([report.reject_below or 0 for report in reports.values()], [len(t["cell_ids"]) for t in tables])
    present = select(Cell.id, Cell.image_id).where(Cell.slide_id.in_(reports), ~Cell.removed)
    images = dict(session.execute(present).all())
    matrix = matrix_of(session.get_one(Encoder, classifier.encoder_id))
    image_ids = np.array([images.get(cell_id, -1) for cell_id in scores["cell_ids"].tolist()], np.int64)
    rows = matrix.rows(image_ids)
    kept = (image_ids >= 0) & (rows >= 0)
    if not kept.any():
        return None
    rejected = (scores["novelty"] > MOST_NOVEL) | (scores["confidence"] < limits)
    scores = {name: column[kept] for name, column in scores.items()}
    return Day(len(reports), scores, rejected[kept], matrix.vectors[rows[kept]])


def figures_of(day: Day, head: Any) -> dict[str, Any]:
    """Return what the head of a classifier says of a day, by the names of the columns of `WatchedDay`."""
    novelty, predicted = day.scores["novelty"].astype(np.float64), day.scores["predicted"]
    counts = np.bincount(predicted, minlength=len(head.classes_)).tolist()
    return {
        "slides": day.slides,
        "cells": len(novelty),
        "rejected": int(day.rejected.sum()),
        "novelty": float(novelty.mean()),
        "novelty_variance": float(novelty.var()),
        "mix": dict(zip(map(str, head.classes_), counts, strict=True)),
        "residual": head.deviations(day.X, predicted).mean(0).astype(np.float32).tobytes(),
    }
