"""What readings say: accuracy in the field, the pull of a shown prediction, agreement of people."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.annotations.queries import Readers, second_readings
from app.models import Annotation, Project, Reading, User
from app.models.reading import AUDITS
from app.projects.queries import classes
from app.readings.agreement import Counts, Estimate, cohen_kappa, difference, fleiss_kappa, one_class, proportion


@dataclass(frozen=True)
class Audit:
    """Agreement of predictions with labels given blind: of all cells, of those of each class, and by person.

    `recall` is by class code. `sway` holds for each person agreement `blind`, `shown`, and their difference.
    """

    accuracy: Estimate | None
    recall: dict[str, Estimate | None]
    sway: dict[str, dict[str, Estimate | None]]


@dataclass(frozen=True)
class Agreement:
    """Kappas of all classes (key "") and of each against the others, by class code: of all readers, and by pair.

    `cells` were read again, `pair_cells` of them by both of a pair.
    """

    cells: int
    pair_cells: dict[tuple[str, str], int]
    readers: dict[str, Estimate | None]
    pairs: dict[tuple[str, str], dict[str, Estimate | None]]


def audit(session: Session, project: Project, user: User | None) -> Audit:
    """Return what audits say; `user` limits the rows by person to their own."""
    query = select(Reading).where(Reading.project_id == project.id, Reading.kind.in_(AUDITS)).order_by(Reading.id)
    standing = {reading.cell_id: reading for reading in session.scalars(query)}
    readings = [reading for reading in standing.values() if reading.class_id is not None]
    blind = [reading for reading in readings if reading.kind == "blind"]
    people = _people(session)
    sway = {}
    for user_id in sorted({reading.user_id for reading in readings}, key=lambda each: people[each]):
        if user is None or user.id == user_id:
            own = [reading for reading in readings if reading.user_id == user_id]
            arms = {kind: _right([reading for reading in own if reading.kind == kind]) for kind in AUDITS}
            first, second = arms["shown"], arms["blind"]
            sway[people[user_id]] = {**arms, "difference": difference(first, second) if first and second else None}
    recall = {item.code: _right([r for r in blind if r.class_id == item.id]) for item in classes(session, project)}
    return Audit(_right(blind), recall, sway)


def _right(readings: Sequence[Reading]) -> Estimate | None:
    return proportion(sum(reading.class_id == reading.predicted_id for reading in readings), len(readings))


def agreement(session: Session, project: Project, user: User | None) -> Agreement:
    """Return how far people read alike; `user` limits the pairs to those of one person.

    The label a cell carried when it was first read again counts as its first reading.
    """
    known = classes(session, project)
    codes = [item.code for item in known]
    place = {item.id: at for at, item in enumerate(known)}
    people = _people(session)
    counts = []
    tables: dict[tuple[str, str], Counts] = defaultdict(lambda: np.zeros((len(codes), len(codes)), np.int64))
    for read in _read_by(session, project):
        counts.append(np.bincount([place[class_id] for class_id in read.values()], minlength=len(codes)))
        for first, second in combinations(sorted(read, key=lambda each: people[each]), 2):
            if user is None or user.id in (first, second):
                tables[people[first], people[second]][place[read[first]], place[read[second]]] += 1
    table = np.array(counts, np.int64).reshape(-1, len(codes))
    readers = {"": fleiss_kappa(table)}
    for at, code in enumerate(codes):
        own = table[:, [at]]
        readers[code] = fleiss_kappa(np.hstack([own, table.sum(1, keepdims=True) - own]))
    pairs = {
        pair: {"": cohen_kappa(found), **{code: cohen_kappa(one_class(found, at)) for at, code in enumerate(codes)}}
        for pair, found in sorted(tables.items())
    }
    return Agreement(len(table), {pair: int(found.sum()) for pair, found in tables.items()}, readers, pairs)


def _read_by(session: Session, project: Project) -> list[Readers]:
    """Return for each cell read again who saw which class, the one who labelled it included."""
    first = select(Reading.cell_id, Annotation.user_id, Annotation.class_id)
    first = first.join(Annotation, Annotation.id == Reading.annotation_id).order_by(Reading.id.desc())
    mine = first.where(Reading.project_id == project.id, Reading.kind == "second")
    labels = {row.cell_id: row for row in session.execute(mine)}
    found = []
    for cell_id, read in second_readings(session, project).items():
        label = labels[cell_id]
        if label.class_id is not None and label.user_id is not None:
            found.append({label.user_id: label.class_id, **read})
    return [read for read in found if len(read) > 1]  # who read a cell first may have labelled it anew since


def _people(session: Session) -> dict[int | None, str]:
    """Return the names of people by id; those who share one are told apart by their address."""
    rows = session.execute(select(User.id, User.name, User.email)).all()
    names = [row.name for row in rows]
    return {row.id: row.name if names.count(row.name) == 1 else f"{row.name} ({row.email})" for row in rows}
