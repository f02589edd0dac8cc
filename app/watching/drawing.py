"""Where the marks of a control chart lie on a page, in units of its drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from app.watching.charts import REFERENCE_DAYS, Chart, Rule

WIDTH: Final = 720
HEIGHT: Final = 190
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 26
SHOWN: Final = 90
"""Newest days that are drawn."""
_HIGHEST: Final = 8.0
"""Deviations beyond which a mark lies on the edge."""
LINES: Final = (-3, -2, 0, 2, 3)


@dataclass(frozen=True)
class Mark:
    """A day: its place, its value, and by which rule it is out."""

    day: date
    x: float
    y: float
    value: float
    rule: Rule
    reference: bool


@dataclass(frozen=True)
class Drawing:
    """The marks of a chart, its `trend` as points of a line, and at which height the deviations of LINES lie."""

    marks: list[Mark]
    trend: str
    lines: list[tuple[int, float]]


def draw(chart: Chart, days: Sequence[date]) -> Drawing | None:
    """Place the newest days of a chart; None as long as its reference has too few."""
    known = np.flatnonzero(np.isfinite(chart.z))
    if not len(known):
        return None
    shown = known[-SHOWN:]
    highest = float(np.clip(np.abs(chart.z[shown]).max(), 4, _HIGHEST))

    def x(at: int) -> float:
        width = (WIDTH - LEFT - RIGHT) / float(shown[-1] - shown[0] + 1)
        return round(LEFT + width * (at - float(shown[0]) + 0.5), 1)

    def y(z: float) -> float:
        middle, half = (TOP + HEIGHT - BOTTOM) / 2, (HEIGHT - TOP - BOTTOM) / 2
        return round(middle - half * float(np.clip(z / highest, -1, 1)), 1)

    reference = set(known[:REFERENCE_DAYS].tolist())
    marks = [
        Mark(days[at], x(at), y(chart.z[at]), chart.values[at], chart.out[at], at in reference) for at in shown.tolist()
    ]
    trend = " ".join(f"{x(at)},{y(chart.trend[at])}" for at in shown.tolist() if np.isfinite(chart.trend[at]))
    return Drawing(marks, trend, [(line, y(line)) for line in LINES])
