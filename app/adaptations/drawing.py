"""Where the points of a learning curve lie on a page, in units of its drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

WIDTH: Final = 720
HEIGHT: Final = 200
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 12, 30


@dataclass(frozen=True)
class Point:
    """A comparison: how many labels there were, what was expected of the recommended candidate, and its interval."""

    labels: int
    expected: float
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Points from the fewest labels on, a line through them, and heights of the marks of the axis."""

    points: list[Point]
    line: str
    marks: list[tuple[float, float]]


def curve(history: Sequence[dict[str, Any]]) -> Curve | None:
    """Place what comparisons expected over their labels; None for fewer than two of them."""
    if len(history) < 2:
        return None
    found = sorted(history, key=lambda each: each["labels"])
    most = found[-1]["labels"]
    bottom = min(0.9, *(each["expected_interval"][0] for each in found))
    bottom = int(10 * bottom) / 10

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - value) / (1 - bottom), 1)

    points = []
    for each in found:
        x = round(LEFT + 8 + (WIDTH - LEFT - RIGHT - 16) * each["labels"] / max(1, most), 1)
        low, high = each["expected_interval"]
        points.append(Point(each["labels"], each["expected"], x, y(each["expected"]), y(low), y(high)))
    marks = [(value, y(value)) for value in (bottom, (bottom + 1) / 2, 1.0)]
    return Curve(points, " ".join(f"{each.x},{each.y}" for each in points), marks)
