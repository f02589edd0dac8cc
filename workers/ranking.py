"""Which cells of a project are worth a label next; app/predictions/batches.py serves them to people."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.db import now, reading
from app.models import Ranking
from app.predictions.batches import SMALLEST_GROUP
from app.predictions.meter import TARGET
from workers.material import Material
from workers.ml.selection import clusters, next_cells, unlike_first
from workers.runner import Task

LISTED: Final = 96
GROUP: Final = 60
"""Most cells of a group that are shown at once."""
GROUPS_PER_CLASS: Final = 3
FEWEST_GROUPS: Final = 12
FEWEST_NOVEL: Final = 40
"""Of fewer novel cells no groups are made."""
GROUPED: Final = 5_000
"""Cells that are looked at to find groups."""
CLEAR: Final = 0.5
"""Margin from which on a cell was chosen for its class rather than for doubt."""
GROWTH: Final = 1.1
"""So many times as many cells as were grouped before the first labels are worth being grouped anew."""

Rows = npt.NDArray[np.intp]
Table = dict[str, npt.NDArray[Any]]


def rank_without_classifier(task: Task, material: Material) -> None:
    """Group the cells of a project with too few labels to fit on, unless that is done already."""
    rows = np.flatnonzero(material.free)
    with reading() as session:
        present = session.get(Ranking, task.project_id)
    if not len(rows) or (present and len(material.cell_ids) < GROWTH * present.cells_ranked):
        return
    _store(task, material, groups=_groups(material, rows, novel=False), cells=[])


def rank(task: Task, material: Material, classes: list[str], table: Table) -> None:
    """Rank by a score table whose probabilities are those of `classes`.

    As long as a class of the project has no label, what resembles nothing labelled is grouped as well.
    """
    groups: list[dict[str, Any]] = []
    novel = np.flatnonzero(material.free & (table["novelty"] > 1))
    if set(material.codes) - set(classes) and len(novel) >= FEWEST_NOVEL:
        groups = _groups(material, novel, novel=True)
    _store(task, material, groups=groups, cells=_singles(material, classes, table))


def _groups(material: Material, rows: Rows, *, novel: bool) -> list[dict[str, Any]]:
    """Group cells that look alike, the groups unlike each other first."""
    few = rows[np.linspace(0, len(rows), min(len(rows), GROUPED), endpoint=False).astype(np.intp)]
    X = np.asarray(material.vectors[material.rows[few]], np.float32)
    found = clusters(X, max(FEWEST_GROUPS, GROUPS_PER_CLASS * len(material.codes)))
    found = unlike_first(X, found, SMALLEST_GROUP)
    return [
        {
            "cell_ids": material.cell_ids[few[members[:GROUP]]].tolist(),
            "size": round(len(members) * len(rows) / len(few)),
            "novel": novel,
        }
        for members in found
    ]


def _singles(material: Material, classes: list[str], table: Table) -> list[dict[str, Any]]:
    """List single cells, the most useful first, and why."""
    labels = np.array([(material.y == code).sum() for code in classes])
    chosen = next_cells(material.X_all, table["proba"], np.flatnonzero(~material.free), labels, LISTED)
    found: list[dict[str, Any]] = []
    for row in chosen.tolist():
        item: dict[str, Any] = {"cell_id": int(material.cell_ids[row]), "why": "unsure"}
        first, second = np.argsort(-table["proba"][row], kind="stable")[:2].tolist()
        if table["novelty"][row] > 1:
            item["why"] = "novel"
        elif table["margin"][row] > CLEAR:
            item |= {"why": "rare" if labels[first] < TARGET else "least", "class": classes[first]}
        else:
            item["classes"] = [classes[first], classes[second]]
        found.append(item)
    return found


def _store(task: Task, material: Material, *, groups: list[dict[str, Any]], cells: list[dict[str, Any]]) -> None:
    with task.transaction() as session:
        session.merge(
            Ranking(
                project_id=task.project_id,
                cells_ranked=len(material.cell_ids),
                groups=groups,
                cells=cells,
                created_at=now(),
            )
        )
