"""How far an adaptation is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import job_queries
from app.cells.index import columns_of
from app.cells.sampling import scattered
from app.errors import NotFound
from app.jobs import adopt_key, compare_key
from app.language import N_, _
from app.models import Adaptation, Classifier, Pretraining, Project, Scanner
from app.projects.queries import classes

SAMPLES = 12
NAMES = {
    "existing": N_("Labels of the other scanners only"),
    "new": N_("Labels of this scanner only"),
    "both": N_("Labels of all scanners"),
    "existing, aligned": N_("Labels of the other scanners only, aligned"),
    "both, aligned": N_("Labels of all scanners, aligned"),
    "both, trained further": N_("Labels of all scanners, by the encoder trained further"),
}
"""What candidates are called, by their name in a comparison (workers/ml/candidates.py)."""


@dataclass(frozen=True)
class Standing:
    """What a scanner has: cells, `labels` to fit on by class code, validation cells, those with a label, samples.

    `reference` are samples of the other scanners of the project, `comparing` and `adopting` whether a comparison or
    what follows a decision is under way, and `problem` why the last one failed.
    """

    cells: int
    labels: dict[str, int]
    validation: int
    validated: int
    samples: list[int]
    reference: list[int]
    comparing: bool
    adopting: bool
    problem: str


def find(session: Session, scanner: Scanner) -> Adaptation | None:
    """Return the adaptation of a scanner."""
    return session.scalar(select(Adaptation).where(Adaptation.scanner_id == scanner.id))


def get(session: Session, scanner: Scanner) -> Adaptation:
    """Return the adaptation of a scanner; raises NotFound."""
    adaptation = find(session, scanner)
    if adaptation is None:
        raise NotFound(_("No validation cells of this scanner have been set aside yet."))
    return adaptation


def standing(session: Session, scanner: Scanner) -> Standing:
    """Return how far a scanner is."""
    adaptation = find(session, scanner)
    columns = columns_of(session, scanner.project_id)
    mine = (columns.scanner_ids == scanner.id) & ~columns.removed
    given = columns.class_ids[mine & ~columns.frozen & ~columns.unseen]
    known = classes(session, session.get_one(Project, scanner.project_id))
    places = columns.places(adaptation.validation if adaptation else [])
    places = places[~columns.removed[places]]
    job = job_queries.newest(session, compare_key(adaptation.id)) if adaptation else None
    adopting = job_queries.newest(session, adopt_key(adaptation.id)) if adaptation else None
    return Standing(
        cells=int(mine.sum()),
        labels={item.code: int((given == item.id).sum()) for item in known},
        validation=len(places),
        validated=int((columns.class_ids[places] > 0).sum()),
        samples=_some(columns.cell_ids[mine]),
        reference=_some(columns.cell_ids[(columns.scanner_ids != scanner.id) & ~columns.removed]),
        comparing=job_queries.is_open(job),
        adopting=job_queries.is_open(adopting),
        problem="".join(each.message for each in (job, adopting) if each and each.state == "dead"),
    )


def last_gain(found: dict[str, Any] | None) -> tuple[int, float] | None:
    """Return how many labels came between the last two comparisons, and what they brought in balanced accuracy."""
    history = found.get("history", []) if found else []
    if len(history) < 2:
        return None
    before, last = history[-2:]
    return last["labels"] - before["labels"], last["expected"] - before["expected"]


def _some(cell_ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    chosen: list[int] = cell_ids[np.argsort(scattered(cell_ids, "sample"))[:SAMPLES]].tolist()
    return chosen


def is_open(session: Session, adaptation: Adaptation) -> bool:
    """Say whether a comparison, or what follows a decision, is under way."""
    return any(job_queries.is_open(job_queries.newest(session, key(adaptation.id))) for key in (compare_key, adopt_key))


def trained(session: Session, scanner: Scanner) -> Pretraining | None:
    """Return the newest run, of this scanner's cells or all, that trained the project's present encoder further."""
    of_it = (Pretraining.project_id == scanner.project_id) & (Pretraining.state == "done")
    of_it &= Pretraining.start_encoder_id == session.get_one(Project, scanner.project_id).encoder_id
    of_it &= (Pretraining.scanner_id == scanner.id) | Pretraining.scanner_id.is_(None)
    return session.scalar(select(Pretraining).where(of_it).order_by(Pretraining.id.desc()).limit(1))


def adopted(session: Session, scanner: Scanner) -> Classifier | None:
    """Return the classifier that reports for a scanner, if it is a candidate of an adaptation."""
    mine = (Classifier.scanner_id == scanner.id) & (Classifier.state == "reporting") & (Classifier.adapted != "")
    return session.scalar(select(Classifier).where(mine))


def names() -> dict[str, str]:
    """Return what candidates are called, by their name in the comparison."""
    return {name: _(text) for name, text in NAMES.items()}
