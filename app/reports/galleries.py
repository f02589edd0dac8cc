"""Which cells a review shows in which order: first what nobody should sign unseen, then class by class."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.language import N_
from app.reports.content import CellLine, Content

DOUBTFUL = 0.8
"""Probability below which a prediction is shown among the exceptions."""
MOST = 400
"""Cells shown of one gallery; the grid has all."""


@dataclass(frozen=True)
class Gallery:
    """Cells shown together. `code` is the class they are all of, "" for the exceptions named by `title`."""

    title: str
    code: str
    why: str
    cells: Sequence[CellLine]
    hidden: int = 0


def galleries_of(content: Content, order: Sequence[str]) -> list[Gallery]:
    """Return the counted cells of a report in galleries, classes in the given order; each cell is in one of them."""
    flagged = {flag.subject: flag.text for flag in content.flags if flag.comparison == ">="}
    unclassified, unsure = [], []
    by_class: dict[str, list[CellLine]] = {code: [] for code in order}
    for cell in sorted((each for each in content.cells if each.counted), key=_least_sure):
        if cell.class_ is None:
            unclassified.append(cell)
        elif cell.how == "predicted" and (cell.probability or 0) < DOUBTFUL and cell.class_ not in flagged:
            unsure.append(cell)
        else:
            by_class.setdefault(cell.class_, []).append(cell)
    first = sorted(by_class, key=lambda code: code not in flagged)
    found = [
        _gallery(N_("Unclassified"), "", "", unclassified),
        *(_gallery("", code, flagged[code], by_class[code]) for code in first if code in flagged),
        _gallery(N_("Unsure"), "", "", unsure),
        *(_gallery("", code, "", by_class[code]) for code in first if code not in flagged),
    ]
    return [gallery for gallery in found if gallery.cells]


def _gallery(title: str, code: str, why: str, cells: Sequence[CellLine]) -> Gallery:
    return Gallery(title, code, why, cells[:MOST], max(0, len(cells) - MOST))


def _least_sure(cell: CellLine) -> tuple[bool, float]:
    return cell.how == "person", cell.probability or 0
