"""How sure a count of n cells is: 95 % intervals, and how many cells a narrower one needs.

Exact binomial limits (Clopper and Pearson, Biometrika 1934, 26:404), one class at a time: those of Rümke's table (Blood
Cells 1985, 11:311), by which laboratories judge differentials, and which never cover the truth in less than 95 % of the
slides. Each class is compared with a range of its own, so the limits are not widened for looking at several at once.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

OUTSIDE = 0.025
"""Probability that is left out on either side."""
MOST_CELLS = 1_000_000

Floats = npt.NDArray[np.float64]


def limits(count: npt.ArrayLike, n: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return the lower and upper limits of the share of cells of which `count` were found among n > 0."""
    found, total = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(n, np.float64))
    rest = total - found
    low = np.where(found > 0, betaincinv(np.maximum(found, 1e-9), rest + 1, OUTSIDE), 0.0)
    high = np.where(rest > 0, betaincinv(found + 1, np.maximum(rest, 1e-9), 1 - OUTSIDE), 1.0)
    return low, high


def cells_needed(share: npt.ArrayLike, within: float) -> npt.NDArray[np.int64]:
    """Return how many cells it takes until half the interval of each `share` is at most `within` (0 to 1).

    The smallest such number found by bisection, supposing that the share stays what it is.
    """
    shares = np.asarray(share, np.float64)
    too_few = np.zeros(shares.shape, np.int64)
    enough = np.full(shares.shape, MOST_CELLS, np.int64)
    while np.any(enough - too_few > 1):
        middle = (too_few + enough) // 2
        low, high = limits(shares * middle, np.maximum(middle, 1))
        narrow = (high - low) / 2 <= within
        too_few, enough = np.where(narrow, too_few, middle), np.where(narrow, middle, enough)
    return enough
