"""The differential of a slide from the classes of its cells: pure functions on arrays.

Cells come in the order of counting, each with the index of its class among the `Kind`s of the project, NONE where it is
unclassified.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.language import N_
from app.models import Reporting
from app.reports.content import Beside, Estimate, Flag, Row
from app.reports.correction import Counts, Shares, correct
from app.reports.intervals import cells_needed, limits

NONE = -1

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Members = tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """A class of the project; `counted` if it is part of the 100 %."""

    id: int
    code: str
    name: str
    parent_id: int | None
    counted: bool


@dataclass(frozen=True)
class Confusion:
    """How often labels of class i were predicted class j, (k, k), by a classifier that had not seen them."""

    codes: tuple[str, ...]
    counts: tuple[Counts, ...]


@dataclass(frozen=True)
class Line:
    """What one row counts: the kinds at these indices. `subject` is its name in ranges and rules."""

    subject: str
    members: Members
    level: int


def window(classes: Ints, kinds: Sequence[Kind], wanted: int) -> int:
    """Return how many of the first cells make the differential: up to the `wanted`th leukocyte, all if that is 0."""
    if not wanted:
        return len(classes)
    so_far = np.cumsum(_counted(kinds)[classes] & (classes != NONE))
    return int(np.searchsorted(so_far, wanted)) + 1 if len(classes) and so_far[-1] >= wanted else len(classes)


def _counted(kinds: Sequence[Kind]) -> Mask:
    # The last place is that of NONE.
    return np.array([*(kind.counted for kind in kinds), False])


def lines_of(kinds: Sequence[Kind]) -> list[Line]:
    """Return the rows of the differential in order: each class, below a class with subclasses first their sum."""
    lines: list[Line] = []
    for at, kind in enumerate(kinds):
        if kind.parent_id is None:
            lines += _family(kinds, at)
    return lines


def _family(kinds: Sequence[Kind], at: int) -> list[Line]:
    family = [each for each in (at, *_below(kinds, at)) if kinds[each].counted]
    if len(family) < 2:
        return [Line(str(kinds[each].id), (each,), 0) for each in family]
    total = Line(f"{kinds[at].id}+", tuple(family), 0)
    return [total, *(Line(str(kinds[each].id), (each,), 1) for each in family)]


def _below(kinds: Sequence[Kind], at: int) -> list[int]:
    children = [each for each, kind in enumerate(kinds) if kind.parent_id == kinds[at].id]
    return [each for child in children for each in (child, *_below(kinds, child))]


def correction(kinds: Sequence[Kind], classes: Ints, seen: Mask, confusion: Confusion | None) -> Shares | str:
    """Return how many cells of each kind there likely are, or why that cannot be said. `seen` by a person (n,)."""
    if confusion is None:
        return N_("The classifier has not been cross-validated yet.")
    if empty := [code for code, row in zip(confusion.codes, confusion.counts, strict=True) if not sum(row)]:
        return N_("No label of %(codes)s could be held out to see with what it is confused.") % {
            "codes": ", ".join(empty)
        }
    if not (classes != NONE).any():
        return N_("No cell is classified: nothing is there to correct.")
    guessed = (classes != NONE) & ~seen
    if not guessed.any():
        return N_("People have seen all counted cells: nothing is left to correct.")
    index = {kind.code: at for at, kind in enumerate(kinds)}
    if gone := [code for code in confusion.codes if code not in index]:
        return N_("The project has no class %(codes)s any more.") % {"codes": ", ".join(gone)}
    places = [index[code] for code in confusion.codes]
    predicted, given = (np.bincount(classes[mask], minlength=len(kinds)) for mask in (guessed, seen))
    found = correct(tuple(predicted[places].tolist()), confusion.counts, tuple(given[places].tolist()))
    cells = given.astype(np.float64)
    draws = np.tile(cells, (len(found.draws), 1))
    cells[places], draws[:, places] = found.cells, found.draws
    return Shares(cells, draws)


def rows_of(
    kinds: Sequence[Kind], classes: Ints, corrected: Shares | None, reporting: Reporting
) -> list[tuple[Line, Row]]:
    """Return the rows of the classes in the 100 %."""
    lines = lines_of(kinds)
    counts = np.bincount(classes[classes != NONE], minlength=len(kinds))
    total = int(counts[_counted(kinds)[:-1]].sum())
    found = np.array([counts[list(line.members)].sum() for line in lines], np.int64)
    shares = found / max(total, 1)
    low, high = limits(found, total) if total else (np.zeros(len(lines)), np.ones(len(lines)))
    more = np.maximum(cells_needed(shares, reporting.within / 100) - total, 0)
    rows = []
    for at, line in enumerate(lines):
        share = Estimate(share=float(shares[at]), low=float(low[at]), high=float(high[at]))
        limit = reporting.ranges.get(line.subject)
        row = Row(
            code=" + ".join(kinds[each].code for each in line.members),
            name=kinds[line.members[0]].name if len(line.members) == 1 else "",
            members=tuple(kinds[each].code for each in line.members),
            level=line.level,
            count=int(found[at]),
            **share.model_dump(),
            corrected=_corrected(kinds, line, corrected) if corrected else None,
            range=tuple(limit) if limit else None,
            more=int(more[at]),
            loinc=reporting.loinc.get(line.subject, ""),
            **_against(share, limit),
        )
        rows.append((line, row))
    return rows


def _corrected(kinds: Sequence[Kind], line: Line, found: Shares) -> Estimate | None:
    """Return the share of a row among the corrected numbers of counted cells."""
    counted, members = _counted(kinds)[:-1], list(line.members)
    total = found.cells[counted].sum()
    if not total:
        return None
    share = float(found.cells[members].sum() / total)
    draws = found.draws[:, members].sum(1) / np.maximum(found.draws[:, counted].sum(1), 1e-9)
    low, high = np.quantile(draws, (0.025, 0.975)).tolist()
    return Estimate(share=share, low=min(low, share), high=max(high, share))


def _against(share: Estimate, limit: Sequence[float] | None) -> dict[str, Any]:
    """Say on which side of a reference range a share lies, and whether its whole interval does."""
    if limit is None:
        return {"outside": "", "certain": False}
    if 100 * share.share < limit[0]:
        return {"outside": "below", "certain": 100 * share.high < limit[0]}
    if 100 * share.share > limit[1]:
        return {"outside": "above", "certain": 100 * share.low > limit[1]}
    return {"outside": "", "certain": False}


def beside_of(kinds: Sequence[Kind], classes: Ints, loinc: dict[str, str]) -> list[tuple[str, Beside]]:
    """Return the classes that are no part of the 100 %, per 100 leukocytes, with their subjects.

    The limits are those of the share among them and the leukocytes together, turned into a ratio.
    """
    counts = np.bincount(classes[classes != NONE], minlength=len(kinds))
    total = int(counts[_counted(kinds)[:-1]].sum())
    rows = []
    for at, kind in enumerate(kinds):
        if not kind.counted:
            count = int(counts[at])
            ratio: dict[str, float | None] = {"per_100": None, "low": None, "high": None}
            if total:
                low, high = (float(each) for each in limits(count, count + total))
                ratio = {"per_100": 100 * count / total, "low": 100 * low / (1 - low), "high": 100 * high / (1 - high)}
            own = loinc.get(str(kind.id), "")
            rows.append((str(kind.id), Beside(code=kind.code, name=kind.name, count=count, loinc=own, **ratio)))
    return rows


@dataclass(frozen=True)
class Measured:
    """What a rule looks at: a value with its limits in the unit of the threshold, and how it is called."""

    name: str
    value: float
    low: float
    high: float


def measured(
    rows: Sequence[tuple[Line, Row]], beside: Sequence[tuple[str, Beside]], leukocytes: int, unclassified: int
) -> dict[str, Measured]:
    """Return by subject what rules can be about."""
    found = {line.subject: Measured(row.code, 100 * row.share, 100 * row.low, 100 * row.high) for line, row in rows}
    for subject, each in beside:
        if each.per_100 is not None and each.low is not None and each.high is not None:
            found[subject] = Measured(each.code, each.per_100, each.low, each.high)
    found["cells"] = Measured("cells", leukocytes, leukocytes, leukocytes)
    if total := leukocytes + unclassified:
        low, high = (100 * float(each) for each in limits(unclassified, total))
        found["unclassified"] = Measured("unclassified", 100 * unclassified / total, low, high)
    return found


def flags_of(rules: Sequence[dict[str, Any]], found: dict[str, Measured]) -> list[Flag]:
    """Return the rules a slide meets. A rule about a class the project no longer has is passed over."""
    flags = []
    for rule in rules:
        about = found.get(rule["subject"])
        if about is None:
            continue
        threshold = rule["threshold"]
        met, certain = (
            (about.value >= threshold, about.low >= threshold)
            if rule["comparison"] == ">="
            else (about.value < threshold, about.high < threshold)
        )
        if met:
            values = {"value": about.value, "low": about.low, "high": about.high}
            flags.append(Flag(**{**rule, "subject": about.name}, **values, certain=certain))
    return flags
