"""Which cells to label next: typical ones of each cluster at first, then unsure ones unlike each other."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

Rows = npt.NDArray[np.intp]
Matrix = npt.NDArray[np.floating[Any]]

MOST_CLUSTERED: Final = 20_000
"""Of more cells than this, as many evenly spaced ones are clustered."""
CANDIDATES: Final = 10
"""Unsure cells that are looked at for each one that is chosen."""


def clusters(X: Matrix, count: int, weights: npt.NDArray[np.floating[Any]] | None = None, seed: int = 0) -> list[Rows]:
    """Group X (n, d) into at most `count` clusters by k-means: the rows of each, typical ones first, largest first.

    `weights` (n,) say how much each cell counts (default: alike). Of many cells MOST_CLUSTERED are grouped, the others
    are in no cluster. Raises ValueError if there is no cell.
    """
    if not len(X):
        raise ValueError("there is no cell to choose from")
    rows = np.arange(0, len(X), -(-len(X) // MOST_CLUSTERED))
    few = np.asarray(X[rows], np.float32)
    count = min(count, len(np.unique(few, axis=0)))
    weights = None if weights is None else weights[rows]
    means = KMeans(count, n_init=1, random_state=seed).fit(few, sample_weight=weights)
    distance = means.transform(few)[np.arange(len(few)), means.labels_]
    found = [np.flatnonzero(means.labels_ == number) for number in range(count)]
    found = [rows[members[np.argsort(distance[members], kind="stable")]] for members in found]
    return sorted(found, key=len, reverse=True)


def unlike_first(X: Matrix, groups: list[Rows], smallest: int) -> list[Rows]:
    """Order groups of rows of X (n, d) so that each is as unlike those before it as can be; the largest comes first.

    Otherwise the commonest class would fill many groups before another is seen. Groups of fewer than `smallest` rows,
    as often debris as a class, come last.
    """
    means = np.stack([np.asarray(X[group], np.float32).mean(0) for group in groups])
    large = np.array([len(group) >= smallest for group in groups])
    order = [max(range(len(groups)), key=lambda at: len(groups[at]))]
    distance = np.full(len(groups), np.inf)
    while len(order) < len(groups):
        distance = np.minimum(distance, np.linalg.norm(means - means[order[-1]], axis=1))
        distance[order[-1]] = -1
        order.append(
            max((at for at in range(len(groups)) if at not in order), key=lambda at: (large[at], distance[at]))
        )
    return [groups[at] for at in order]


def cold_start(X: Matrix, count: int, seed: int = 0) -> Rows:
    """Choose at most `count` rows of X (n, d) to label when none is: the most typical cell of each cluster.

    Typical cells are the best start when labels are few (Hacohen, Dekel and Weinshall 2022).
    """
    return np.array([members[0] for members in clusters(X, count, seed=seed)])


def next_cells(
    X: Matrix, proba: Matrix, labelled: Rows, labels_per_class: npt.NDArray[np.integer[Any]], count: int, seed: int = 0
) -> Rows:
    """Choose at most `count` rows of X (n, d) that are not `labelled`, by a classifier's probabilities of all (n, k).

    A cell is the more unsure the smaller the margin between its two best classes, and counts less the more labels its
    predicted class has already (`labels_per_class` (k,), by their inverse square root). Of the CANDIDATES x `count`
    most unsure ones, the most typical of each of `count` clusters is chosen, so that no two are alike.
    """
    free = np.ones(len(X), bool)
    free[labelled] = False
    rows = np.flatnonzero(free)
    best = np.partition(proba[rows].astype(np.float32), -2, axis=1)[:, -2:]
    needed = 1 / np.sqrt(1 + labels_per_class)
    unsure = (1 - best[:, 1] + best[:, 0]) * needed[proba[rows].argmax(1)] / needed.max()
    wanted = CANDIDATES * count
    order = np.argpartition(-unsure, wanted)[:wanted] if len(rows) > wanted else np.arange(len(rows))
    candidates = rows[order]
    if len(candidates) <= count:
        return candidates
    chosen = clusters(X[candidates], count, unsure[order] + 1e-3, seed)
    return candidates[[members[0] for members in chosen]]
