"""Fitting the assist classifier of a project and scoring all its cells."""

import hashlib
import json
from dataclasses import dataclass
from io import BytesIO
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import job_queries
from app.db import now, reading
from app.events import publish
from app.models import Classifier, Project, Ranking
from app.models.project import lock
from app.storage import get_storage
from workers import ranking
from workers.evaluation import evaluate
from workers.material import Material, collect
from workers.ml.artifacts import dump_head
from workers.ml.heads import fit_head, score
from workers.revision import revision
from workers.runner import Task

HEAD = "ours"
KEEP_SCORES = 3  # newest score tables of a project that stay; a page may still be reading the one before


class _SupersededError(Exception):
    """Newer labels wait for a fit, which must not wait for figures about older ones."""


def fit(task: Task) -> None:
    """Fit on the present labels, score every embedded cell, publish both; then rank what to label next and evaluate."""
    started = perf_counter()
    with reading() as session:
        material = collect(session, task.project_id)
    if not material.enough:
        ranking.rank_without_classifier(task, material)
        return
    X, y, unlabelled = material.X, material.y, material.X_unlabelled
    head = fit_head(HEAD, X, y, unlabelled)
    table = score_table(head, material.cell_ids, material.X_all)
    seconds = perf_counter() - started
    classifier_id = _publish(task, material, head, table, seconds)
    if classifier_id is None or _has_newer_labels(task):
        return  # what follows is left to the fit of these
    ranking.rank(task, material, [str(code) for code in head.classes_], table)

    def fit_on(X: Any, y: Any) -> Any:
        if _has_newer_labels(task):
            raise _SupersededError
        return fit_head(HEAD, X, y, unlabelled)

    try:
        metrics, conflicts = evaluate(material, fit_on)
    except _SupersededError:
        return
    with task.transaction() as session:
        classifier = session.get_one(Classifier, classifier_id)
        classifier.metrics = metrics
        session.get_one(Ranking, task.project_id).conflicts = conflicts
        publish(session, task.project_id, "metrics", {"version": classifier.version})


def _has_newer_labels(task: Task) -> bool:
    with reading() as session:
        return job_queries.is_queued(session, f"fit:{task.project_id}")


def score_table(
    head: Any, cell_ids: npt.NDArray[np.int64], X: npt.NDArray[np.floating[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Score n cells with embeddings X (n, d), in the order of their ids; docs/score-tables.md describes the file."""
    scores = score(head, X)
    top = np.partition(scores.proba.astype(np.float32), -2, axis=1)[:, -2:]
    return {
        "cell_ids": cell_ids,
        "proba": scores.proba,
        "novelty": scores.novelty,
        "predicted": scores.proba.argmax(1).astype(np.int16),
        "confidence": top[:, 1].astype(np.float16),
        "margin": (top[:, 1] - top[:, 0]).astype(np.float16),
    }


def card_of(encoder_sha256: str, cell_ids: npt.NDArray[np.int64], y: npt.NDArray[np.str_]) -> dict[str, Any]:
    """Say what a head is made of: by which encoder it sees, which code fitted it, and on which labels."""
    labels = json.dumps([cell_ids.tolist(), y.tolist()])
    return {
        "encoder_sha256": encoder_sha256,
        "revision": revision(),
        "labels_sha256": hashlib.sha256(labels.encode()).hexdigest(),
        "cell_ids": cell_ids.tolist(),
        "classes_of_cells": y.tolist(),
    }


@dataclass(frozen=True)
class Fitted:
    """A head with its card and the score table it makes, and under which sha256 both are stored."""

    head: Any
    card: dict[str, Any]
    artifact: str
    table: dict[str, npt.NDArray[Any]]
    scores: str


def version_of(before: Classifier | None, material: Material, fitted: Fitted, **more: Any) -> Classifier:
    """Return the version that follows `before`, with what is `more` to it."""
    head, classes = fitted.head, [str(code) for code in fitted.head.classes_]
    counts = np.bincount(fitted.table["predicted"], minlength=len(classes)).tolist()
    return Classifier(
        project_id=material.project_id,
        encoder_id=material.encoder_id,
        version=before.version + 1 if before else 1,
        revision=fitted.card["revision"],
        head=HEAD,
        classes=classes,
        labels=len(fitted.card["cell_ids"]),
        labels_sha256=fitted.card["labels_sha256"],
        newest_annotation_id=material.newest_annotation_id,
        cells_scored=len(material.cell_ids),
        predicted=dict(zip(classes, counts, strict=True)),
        estimate=None if np.isnan(head.out_of_fold_accuracy_) else head.out_of_fold_accuracy_,
        artifact=fitted.artifact,
        scores=fitted.scores,
        created_at=now(),
        **more,
    )


def _publish(
    task: Task, material: Material, head: Any, table: dict[str, npt.NDArray[Any]], seconds: float
) -> int | None:
    """Store head and score table, then make them the newest version in one transaction.

    Returns the classifier's id, None where a fit of newer material was faster.
    """
    storage = get_storage()
    card = card_of(material.encoder_sha256, material.labelled, material.y)
    artifact = storage.put("classifiers", BytesIO(dump_head(head, card)))
    scores = storage.put("scores", BytesIO(save(table)))
    with task.transaction() as session:
        lock(session, task.project_id)
        before = newest(session, task.project_id)
        if _is_outdated(session, material, before):
            return None
        fitted = Fitted(head, card, artifact.sha256, table, scores.sha256)
        classifier = version_of(before, material, fitted, state="assist", fit_seconds=seconds)
        session.add(classifier)
        session.flush()
        news = {
            "version": classifier.version,
            "classifier_id": classifier.id,
            "newest_annotation_id": classifier.newest_annotation_id,
        }
        publish(session, task.project_id, "scores", news)
        old = _old_tables(session, task.project_id, classifier.version)
    for sha256 in old:
        storage.delete(f"scores/{sha256}")
    return classifier.id


def newest(session: Session, project_id: int) -> Classifier | None:
    """Return the version with the highest number."""
    query = select(Classifier).where(Classifier.project_id == project_id)
    return session.scalar(query.order_by(Classifier.version.desc()).limit(1))


def _is_outdated(session: Session, material: Material, newest: Classifier | None) -> bool:
    """Say whether the project has gone on: a queued fit may run beside one that has begun, and end before it."""
    if session.get_one(Project, material.project_id).encoder_id != material.encoder_id:
        return True
    if newest is None or newest.encoder_id != material.encoder_id:
        return False
    present = (material.newest_annotation_id, len(material.cell_ids))
    return (newest.newest_annotation_id, newest.cells_scored) > present


def _old_tables(session: Session, project_id: int, version: int) -> list[str]:
    """Let go of the score tables of old assist versions; returns those that nothing else refers to."""
    query = select(Classifier).where(Classifier.project_id == project_id, Classifier.scores.is_not(None))
    classifiers = session.scalars(query).all()
    old = [each for each in classifiers if each.state == "assist" and each.version <= version - KEEP_SCORES]
    # Equal labels give equal tables, so a table may be that of an activated version as well.
    shared = {classifier.scores for classifier in classifiers if classifier not in old}
    gone = [c.scores for c in old if c.scores and c.scores not in shared]
    for classifier in old:
        classifier.scores = None
    return gone
