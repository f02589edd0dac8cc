"""What a slide likely holds, seen how often its classifier takes one class for another.

Of the cells no person has seen, n_j are predicted to be of class j. M_ij, the share of class i that is predicted j, is
known from labels the classifier had not seen. The shares p of the true classes maximise the likelihood
sum_j n_j log(sum_i p_i M_ij); expectation maximisation finds them (Dempster, Laird and Rubin 1977; for class shares
from a classifier Saerens, Latinne and Decaestecker 2002, here with counts instead of probabilities).

Interval: percentiles of DRAWS repetitions, each with other counts (multinomial) and another M, whose rows are Dirichlet
draws of the counted confusions and one further label spread over all classes, so that 50 labels without an error do
not pass for proof that there is none.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWS = 400
STEPS = 100
SEED = 1985

Floats = npt.NDArray[np.float64]
Counts = tuple[int, ...]


@dataclass(frozen=True)
class Shares:
    """Estimated numbers of cells: `cells` (k,), and as many times as there were DRAWS (draws, k)."""

    cells: Floats
    draws: Floats


@lru_cache(maxsize=64)
def correct(predicted: Counts, confusion: tuple[Counts, ...], seen: Counts) -> Shares:
    """Estimate how many cells of each of k classes there are.

    `predicted` (k,) counts predictions of cells nobody has seen, `seen` (k,) the classes people gave to others, and row
    i of `confusion` (k, k) how often labels of class i were predicted each class; no row may be empty.
    """
    table = np.array(confusion, np.float64)
    k, n = len(table), sum(predicted)
    known = np.array(seen, np.float64)
    if not n:
        return Shares(known, np.tile(known, (DRAWS, 1)))
    counts = np.array(predicted, np.float64)
    random: Any = np.random.default_rng(SEED)
    tables = np.stack([random.dirichlet(row + 1 / k, DRAWS) for row in table], axis=1)  # (draws, k, k)
    drawn = random.multinomial(n, counts / n, DRAWS).astype(np.float64)
    one = _most_likely(counts[None], (table / table.sum(1, keepdims=True))[None])[0]
    return Shares(known + n * one, known + n * _most_likely(drawn, tables))


def _most_likely(counts: Floats, confused: Floats) -> Floats:
    """Return the most likely shares (m, k) of m slides with `counts` (m, k) and matrices `confused` (m, k, k)."""
    shares = np.full(counts.shape, 1 / counts.shape[1])
    observed = counts / counts.sum(1, keepdims=True)
    for _step in range(STEPS):
        expected = np.maximum(np.einsum("mi,mij->mj", shares, confused), 1e-12)
        shares = shares * np.einsum("mij,mj->mi", confused, observed / expected)
        shares /= np.maximum(shares.sum(1, keepdims=True), 1e-12)
    return shares
