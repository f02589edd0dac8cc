"""How far readers agree, and how sure that is: proportions and kappas with 95 % intervals."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Z = 1.959964  # 97.5 % quantile of the normal distribution

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A figure of n cells with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


def proportion(count: float, n: int) -> Estimate | None:
    """Return `count` of n with Wilson's interval (Wilson 1927), None of nothing. `count` need not be whole."""
    if not n:
        return None
    share = count / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    width = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return Estimate(share, max(0.0, float(middle - width)), min(1.0, float(middle + width)), n)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Return first - second of independent proportions (Newcombe 1998, Stat Med 17:873, method 10)."""
    between = first.value - second.value
    low = between - np.hypot(first.value - first.low, second.high - second.value)
    high = between + np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(between, float(low), float(high), first.n + second.n)


def cohen_kappa(table: Counts) -> Estimate | None:
    """Return Cohen's kappa (Cohen 1960) of the cells two people read: (k, k), a row per class of the first.

    None where kappa is not defined: no cells, or both only ever saw one class.
    """
    n = int(table.sum())
    if not n:
        return None
    by_chance = float((table.sum(0) / n) @ (table.sum(1) / n))
    return _kappa(float(np.trace(table)), n, by_chance)


def fleiss_kappa(counts: Counts) -> Estimate | None:
    """Return Fleiss' kappa (Fleiss 1971) of n cells (n, k): how many readers saw which of k classes.

    Cells may have different numbers of readers, at least two: agreement is averaged over cells, as in the original.
    """
    readers = counts.sum(1)
    if not len(counts):
        return None
    shares = counts.sum(0) / readers.sum()
    agreement = (counts * (counts - 1)).sum(1) / (readers * (readers - 1))
    return _kappa(float(agreement.sum()), len(counts), float(shares @ shares))


def one_class(table: Counts, at: int) -> Counts:
    """Return a table (k, k) of two people as (2, 2): this class and all others."""
    own = table[at, at]
    row, column = table[at].sum() - own, table[:, at].sum() - own
    return np.array([[own, row], [column, table.sum() - own - row - column]])


def _kappa(agreeing: float, n: int, by_chance: float) -> Estimate | None:
    """Chance agreement is taken as known, as in Cohen's own standard error; the interval of the observed one is
    Wilson's, so that few cells which all agree do not look certain."""
    observed = proportion(agreeing, n)
    if observed is None or by_chance >= 1:
        return None
    value, low, high = ((x - by_chance) / (1 - by_chance) for x in (observed.value, observed.low, observed.high))
    return Estimate(value, low, high, n)
