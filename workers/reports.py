"""Classification of a slide for its report."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import job_queries
from app.cells.matrix import Matrix, matrix_of
from app.db import reading
from app.models import Cell, Classifier, Embedding, Encoder, Project, Report, Slide
from app.models.project import lock
from app.predictions.scores import newest_classifier
from app.reports import service
from app.reports.queries import newest
from app.slides import states
from app.storage import get_storage
from workers.classifiers import score_table
from workers.ml.artifacts import load_head
from workers.runner import Task
from workers.waiting import wait_for

Ids = npt.NDArray[np.int64]


@dataclass
class Todo:
    """What to classify by which classifier: n cells in the order of their ids."""

    classifier: Classifier
    preliminary: bool
    bind: bool
    cell_ids: Ids
    X: npt.NDArray[np.float16]
    missing: Sequence[int]  # images the encoder of the classifier has not seen


def classify(task: Task) -> None:
    """Put predictions into the open report of a slide, from stored embeddings.

    By the classifier the report is bound to, or else the reporting one of the scanner, which then binds it, or else
    the newest of the project. The same cells and the same classifier give the same bytes. Then the slide is for review.
    """
    with reading() as session:
        left = job_queries.remaining_images(session, task.project_id)
        slide = session.get_one(Slide, task.arguments["slide_id"])
        todo = _todo(session, slide, again=task.arguments["again"])
    if todo and wait_for(task, todo.classifier.encoder_id, todo.missing, left):
        return
    scores = _scores(todo) if todo else None
    with task.transaction() as session:
        lock(session, task.project_id)
        slide = session.get_one(Slide, slide.id)
        report = service.stored(session, slide)
        if todo and scores and report.sha256 is None:
            service.classify(session, report, todo.classifier, scores, preliminary=todo.preliminary)
            if todo.bind:
                service.bind(session, report)
        if slide.state in {"queued", "processing", "failed"}:
            states.move(session, slide, "needs_review")


def _scores(todo: Todo) -> bytes:
    head, _card = load_head(get_storage().read(f"classifiers/{todo.classifier.artifact}"))
    return save(score_table(head, todo.cell_ids, todo.X))


def _todo(session: Session, slide: Slide, *, again: bool) -> Todo | None:
    """Return what to classify; nothing if the report is signed, or up to date, or there is no classifier for it."""
    report = newest(session, slide)
    if report.sha256 is not None:
        return None
    reporting = service.reporting_classifier(session, slide.scanner_id)
    keeps = report.bound and not again
    classifier = session.get_one(Classifier, report.classifier_id) if keeps else reporting or _newest(session, slide)
    if classifier is None:
        return None
    preliminary = classifier is not reporting
    cell_ids, X, unembedded = embedded_cells(session, slide, matrix_of(session.get_one(Encoder, classifier.encoder_id)))
    bind = keeps or not preliminary
    present = (report.classifier_id, report.preliminary, report.bound) == (classifier.id, preliminary, bind)
    if present and np.array_equal(_scored(session, report), cell_ids):
        return None
    missing = _unseen(session, slide, classifier) if unembedded else []
    return Todo(classifier, preliminary, bind, cell_ids, X, missing)


def embedded_cells(session: Session, slide: Slide, matrix: Matrix) -> tuple[Ids, npt.NDArray[np.float16], int]:
    """Return the ids of a slide's cells in their order, with their embeddings, and how many have none."""
    query = select(Cell.id, Cell.image_id).where(Cell.slide_id == slide.id, ~Cell.removed).order_by(Cell.id)
    cells = np.array([tuple(row) for row in session.execute(query)], np.int64).reshape(-1, 2)
    rows = matrix.rows(cells[:, 1])
    seen = rows >= 0
    return cells[seen, 0], matrix.vectors[rows[seen]], int((~seen).sum())


def _newest(session: Session, slide: Slide) -> Classifier | None:
    """Return the newest classifier of a project, None while it moves to another encoder and has no other yet."""
    classifier = newest_classifier(session, slide.project_id)
    encoder_id = session.get_one(Project, slide.project_id).encoder_id
    return classifier if classifier and classifier.encoder_id == encoder_id else None


def _scored(session: Session, report: Report) -> Ids:
    scores = session.scalar(select(Report.scores).where(Report.id == report.id))
    return np.asarray(load(scores or b"")["cell_ids"], np.int64)


def _unseen(session: Session, slide: Slide, classifier: Classifier) -> Sequence[int]:
    """Return the images of a slide that the encoder of a classifier has not seen, not even in vain."""
    seen = select(Embedding.image_id).where(Embedding.encoder_id == classifier.encoder_id)
    return session.scalars(select(Cell.image_id).where(Cell.slide_id == slide.id, Cell.image_id.not_in(seen))).all()
