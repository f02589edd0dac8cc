"""Control charts of a scanner: what it showed day by day, and whether that is what its first days led to expect.

The reference are the first REFERENCE_DAYS days of a chart. From these come its centre and its deviation, which has two
parts: what days differ by even if they held endless cells, and what chance adds to a day of few cells (Laney 2002,
Quality Engineering 14:531). A day is out if it lies beyond the limit by itself ("sudden"), or if the exponentially
weighted mean of the days since the reference does ("slow", Roberts 1959, Technometrics 1:239). The limits allow by
Student's t for how little so few days tell.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

REFERENCE_DAYS: Final = 10
FALSE_ALARM: Final = 1e-5
"""Chance that a chart calls a day out on which nothing was different."""
WEIGHT: Final = 0.2
"""Of the newest day in the weighted mean."""
CLIP: Final = 6.0
"""Deviations as which a stranger day counts in the weighted mean: one day is not yet a trend."""

Floats = npt.NDArray[np.float64]
Rule = Literal["", "sudden", "slow"]


@dataclass(frozen=True)
class Figures:
    """What a scanner showed on n days, in their order; k classes, d dimensions.

    `rejected` and `audited` count some of the `cells` (n,), `right` of the audited; `novelty` is the mean over a day's
    cells, `novelty_variance` their variance; `mix` (n, k) counts predictions; `residual` (n, d) is the mean deviation
    of a day's cells from the mean of their predicted class, where cells of one class scatter by 1.
    """

    cells: Floats
    rejected: Floats
    novelty: Floats
    novelty_variance: Floats
    mix: Floats
    residual: Floats
    audited: Floats
    right: Floats


@dataclass(frozen=True)
class Chart:
    """One figure on n days: `values` (n,), NaN where a day has none, and what was to be expected of them.

    `centre` is the mean of the reference, `z` (n,) how many deviations a day is from it, `trend` (n,) the weighted mean
    of `z`; all are NaN as long as the reference has too few days. `out` (n,) says by which rule a day is out of limits.
    """

    values: Floats
    centre: float
    z: Floats
    trend: Floats
    out: list[Rule]


def charts_of(figures: Figures) -> dict[str, Chart]:
    """Return the chart of each figure by its name."""
    n = figures.cells
    rejected, right = figures.rejected / n, figures.right / np.where(figures.audited, figures.audited, np.nan)
    mix = figures.mix / n[:, None]
    return {
        "rejected": chart(rejected, _binomial(figures.rejected, n)),
        "novelty": chart(figures.novelty, figures.novelty_variance[:REFERENCE_DAYS].mean() / n),
        "shift": chart(_distance(figures.residual, n), np.zeros_like(n), side=1),
        # One patient makes a day strange, and is no change of the scanner.
        "mix": chart(_distance(mix, n, _share(figures.mix, n[:, None])), np.zeros_like(n), side=1, sudden=False),
        "accuracy": chart(right, _binomial(figures.right, figures.audited), side=-1),
    }


def chart(values: Floats, noise: Floats, side: int = 0, *, sudden: bool = True) -> Chart:
    """Chart values (n,) with the variance (n,) that chance gives each.

    `side` 1 or -1 looks up or down only; without `sudden` no day is out by itself.
    """
    days = np.flatnonzero(np.isfinite(values))
    reference, later = days[:REFERENCE_DAYS], days[REFERENCE_DAYS:]
    m = len(reference)
    out: list[Rule] = [""] * len(values)
    nothing = np.full(len(values), np.nan)
    if m < REFERENCE_DAYS:
        return Chart(values, np.nan, nothing, nothing, out)
    centre = float(values[reference].mean())
    between = max(0.0, values[reference].var(ddof=1) - noise[reference].mean())
    deviation = np.sqrt(np.maximum(between + noise, 1e-12))
    quantile = float(stdtrit(m - 1, 1 - FALSE_ALARM / (1 if side else 2)))
    z = (values - centre) / deviation
    limit, trend, mean = quantile * np.sqrt(1 + 1 / m), nothing.copy(), 0.0
    for number, day in enumerate(later, start=1):
        mean += WEIGHT * (np.clip(z[day], -CLIP, CLIP) - mean)
        trend[day] = mean
        variance = WEIGHT / (2 - WEIGHT) * (1 - (1 - WEIGHT) ** (2 * number)) + 1 / m
        if sudden and _beyond(z[day], limit, side):
            out[day] = "sudden"
        elif _beyond(mean, quantile * np.sqrt(variance), side):
            out[day] = "slow"
    return Chart(values, centre, z, trend, out)


def _beyond(value: float, limit: float, side: int) -> bool:
    return (side * value if side else abs(value)) > limit


def _share(counts: Floats, n: Floats) -> Floats:
    """Return the variance of one cell's being counted, from the reference; never 0, for a share of 0 is not known."""
    share: Floats = (counts[:REFERENCE_DAYS].sum(0) + 0.5) / (n[:REFERENCE_DAYS].sum(0) + 1)
    return share * (1 - share)


def _binomial(counts: Floats, n: Floats) -> Floats:
    noise: Floats = _share(counts, n) / np.maximum(n, 1)
    return noise


def _distance(vectors: Floats, cells: Floats, noise: Floats | float = 1.0) -> Floats:
    """Distance (n,) of each day's vector (n, d) from the reference, about 1 where days are as they were.

    `noise` (d,) is the variance of one cell. Days of the reference are compared with its others.
    """
    reference = vectors[:REFERENCE_DAYS]
    m = len(reference)
    if m < 2:
        return np.full(len(vectors), np.nan)
    between = (reference.var(0, ddof=1) / noise).mean() - (1 / cells[:m]).mean()
    expected = (max(0.0, between) + 1 / cells) * np.where(np.arange(len(vectors)) < m, 1 - 1 / m, 1 + 1 / m)
    distance: Floats = np.sqrt((np.square(vectors - reference.mean(0)) / noise).mean(1) / expected)
    return distance
