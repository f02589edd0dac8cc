"""How far an adaptation is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.cells.index import columns_of
from app.cells.sampling import scattered
from app.errors import NotFound
from app.jobs import Job, compare_key
from app.language import _
from app.models import Adaptation, Project, Scanner
from app.projects.queries import classes

SAMPLES = 12


@dataclass(frozen=True)
class Standing:
    """What a scanner has: cells, `labels` to fit on by class code, validation cells with a label, random samples.

    `reference` are samples of the other scanners of the project, `comparing` is whether a comparison is under way and
    `problem` why the last one failed.
    """

    cells: int
    labels: dict[str, int]
    validated: int
    samples: list[int]
    reference: list[int]
    comparing: bool
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
    job = _job(session, adaptation)
    return Standing(
        cells=int(mine.sum()),
        labels={item.code: int((given == item.id).sum()) for item in known},
        validated=int((columns.class_ids[places] > 0).sum()),
        samples=_some(columns.cell_ids[mine]),
        reference=_some(columns.cell_ids[(columns.scanner_ids != scanner.id) & ~columns.removed]),
        comparing=job is not None and job.state in {"queued", "running"},
        problem=job.message if job and job.state == "dead" else "",
    )


def _some(cell_ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    chosen: list[int] = cell_ids[np.argsort(scattered(cell_ids, "sample"))[:SAMPLES]].tolist()
    return chosen


def _job(session: Session, adaptation: Adaptation | None) -> Job | None:
    if adaptation is None:
        return None
    query = select(Job).where(Job.dedupe_key == compare_key(adaptation.id)).order_by(Job.id.desc()).limit(1)
    return session.scalar(query)


def names(candidates: Sequence[str]) -> dict[str, str]:
    """Return what candidates are called, by their name in the comparison."""
    known = {
        "existing": _("Labels of the other scanners only"),
        "new": _("Labels of this scanner only"),
        "both": _("Labels of all scanners"),
        "existing, aligned": _("Labels of the other scanners only, aligned"),
        "both, aligned": _("Labels of all scanners, aligned"),
    }
    return {name: known[name] for name in candidates}
