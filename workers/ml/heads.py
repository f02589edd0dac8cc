"""Heads: the light classifiers fitted on embeddings, the paper's three and ours."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from workers.ml.lda import LogisticLDA
from workers.ml.paper_heads import PaperHead

CHUNK: Final = 16_384
MOST_UNLABELLED: Final = 2_000
"""More unlabelled cells change nothing but the time of a fit."""
Head = Any
"""A scikit-learn classifier with `classes_` and `predict_proba`."""


@dataclass(frozen=True)
class Scores:
    """`proba` (n, classes) in the order of the head's `classes_`, `novelty` (n,); both float16."""

    proba: npt.NDArray[np.float16]
    novelty: npt.NDArray[np.float16]


HEADS: Final[dict[str, Callable[[], Head]]] = {
    "ours": LogisticLDA,
    "paper-lr": lambda: PaperHead("lr"),
    "paper-svm": lambda: PaperHead("svm"),
    "paper-knn": lambda: PaperHead("knn"),
}


def make_head(name: str) -> Head:
    """Return an unfitted head: ours, paper-lr, paper-svm or paper-knn; ValueError for others."""
    if name not in HEADS:
        raise ValueError(f"there is no head {name!r}; known: {', '.join(HEADS)}")
    return HEADS[name]()


def fit_head(
    name: str,
    X: npt.NDArray[np.floating[Any]],
    y: npt.ArrayLike,
    unlabelled: npt.NDArray[np.floating[Any]] | None = None,
) -> Head:
    """Fit the head `name` on X (n, d), y (n,); ours also learns from `unlabelled` (m, d), see LogisticLDA.

    Of more than MOST_UNLABELLED rows, about as many are taken, evenly spaced; the others are not even read.
    """
    head = make_head(name)
    if unlabelled is None or not isinstance(head, LogisticLDA):
        return head.fit(X, y)
    return head.fit(X, y, unlabelled[few(len(unlabelled))])


def few(n: int) -> slice:
    """Return a slice of n rows that takes MOST_UNLABELLED of them at most, evenly spaced."""
    return slice(None, None, max(1, -(-n // MOST_UNLABELLED)))


def score(head: Head, X: npt.NDArray[np.floating[Any]]) -> Scores:
    """Score all rows of X (n, d), float16 and memory-mapped as a rule, in chunks of flat memory.

    A head without a novelty of its own gets 1 - its highest probability there.
    """
    proba = np.empty((len(X), len(head.classes_)), np.float16)
    novelty = np.empty(len(X), np.float16)

    def score_chunk(start: int) -> None:
        rows = slice(start, start + CHUNK)
        proba[rows], novelty[rows] = _both(head, _float32(X[rows]))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Reading the results raises what a chunk may have raised.
        list(pool.map(score_chunk, range(0, len(X), CHUNK)))
    return Scores(proba, novelty)


def _both(head: Head, X: npt.NDArray[np.float32]) -> tuple[Any, Any]:
    if isinstance(head, LogisticLDA):
        return head.predict_both(X)
    proba = head.predict_proba(X)
    return proba, 1 - proba.max(1)


def _float32(rows: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    # Torch widens half precision on all cores with vector instructions, several times as fast.
    return torch.from_numpy(np.array(rows)).float().numpy()
