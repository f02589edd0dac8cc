"""Domain shift: how much cells of two scanners differ, whether it is chance, and simple ways to align them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import inv, sqrtm
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from workers.ml.lda import LogisticLDA, folds_of

Matrix = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[Any]

MOST_CELLS: Final = 1_000
"""Of more cells of a scanner, as many random ones are compared."""
FEWEST_CELLS: Final = 5
_PERMUTATIONS: Final = 999
_FOLDS: Final = 5


@dataclass(frozen=True)
class Shift:
    """How far cells of a new scanner lie from those of a reference.

    `separability` is the AUROC, out of fold, with which a classifier tells the scanner of a cell (0.5: not at all, 1:
    always), with its 95 % `interval`; `mmd2` the squared maximum mean discrepancy and `p_value` the chance of one as
    large between two samples of one scanner. `reference` and `new` are the numbers of cells compared.
    """

    separability: float
    interval: tuple[float, float]
    mmd2: float
    p_value: float
    reference: int
    new: int


def measure_shift(reference: Matrix, new: Matrix, seed: int = 0) -> Shift:
    """Compare embeddings (n, d) and (m, d); ValueError with fewer than FEWEST_CELLS of either."""
    if min(len(reference), len(new)) < FEWEST_CELLS:
        raise ValueError(f"{FEWEST_CELLS} cells of each scanner are needed; got {len(reference)} and {len(new)}")
    rng = np.random.default_rng(seed)
    old, fresh = (np.asarray(X[rng.permutation(len(X))[:MOST_CELLS]], np.float64) for X in (reference, new))
    n, m = len(old), len(fresh)
    separability = _separability(old, fresh)
    mmd2, p_value = _mmd(np.concatenate([old, fresh]), n, rng)
    return Shift(separability, _auroc_interval(separability, n, m), mmd2, p_value, n, m)


def measure_shift_per_class(
    reference: Matrix, reference_labels: Labels, new: Matrix, new_labels: Labels, seed: int = 0
) -> dict[Any, Shift]:
    """Compare each class that has FEWEST_CELLS labels on both sides."""
    shared = sorted({*reference_labels.tolist()} & {*new_labels.tolist()})
    pairs = {code: (reference[reference_labels == code], new[new_labels == code]) for code in shared}
    return {code: measure_shift(*pair, seed) for code, pair in pairs.items() if min(map(len, pair)) >= FEWEST_CELLS}


def _separability(reference: Matrix, new: Matrix) -> float:
    """AUROC of the out-of-fold scores of a classifier of the two samples (Lopez-Paz and Oquab 2017)."""
    X, codes = np.concatenate([reference, new]), np.repeat([0, 1], [len(reference), len(new)])
    fold, scores = folds_of(codes, _FOLDS), np.empty(len(X))
    for number in range(_FOLDS):
        held = fold == number
        scores[held] = LogisticLDA().fit(X[~held], codes[~held]).predict_proba(X[held])[:, 1]
    return float(roc_auc_score(codes, scores))


def _auroc_interval(auroc: float, n: int, m: int) -> tuple[float, float]:
    """95 % interval of an AUROC of n against m cells (Hanley and McNeil 1982), within 0 and 1."""
    one, two = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = (auroc * (1 - auroc) + (m - 1) * (one - auroc**2) + (n - 1) * (two - auroc**2)) / (n * m)
    # Where every cell was told right the formula knows no doubt; the rule of three does.
    half = max(1.96 * float(np.sqrt(max(variance, 0))), 3 / min(n, m) if auroc == 1 else 0)
    return max(0.0, auroc - half), min(1.0, auroc + half)


def _mmd(X: Matrix, n: int, rng: np.random.Generator) -> tuple[float, float]:
    """Unbiased squared MMD of the first n rows against the others, and its permutation p-value (Gretton et al. 2012).

    The kernel is Gaussian, as wide as the median distance.
    """
    squared = cdist(X, X, "sqeuclidean")
    kernel = np.exp(-squared / max(float(np.median(squared[np.triu_indices(len(X), 1)])), 1e-12))
    np.fill_diagonal(kernel, 0)
    # A column a permutation, the first being no permutation at all.
    first = np.zeros((len(X), _PERMUTATIONS + 1))
    for column in range(_PERMUTATIONS + 1):
        first[rng.permutation(len(X))[:n] if column else np.arange(n), column] = 1
    within = np.einsum("ij,ij->j", first, kernel @ first)
    across = kernel.sum(0) @ first - within
    others = kernel.sum() - within - 2 * across
    m = len(X) - n
    found = within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * across / (n * m)
    return float(found[0]), float((found >= found[0] - 1e-12).mean())


class Alignment:
    """A linear map that brings embeddings of a new scanner to where those of the reference lie; needs no label.

    `kind`: "none", "center" (equal means), "standardise" (equal means and deviations of each dimension) or "coral"
    (equal means and covariances, Sun, Feng and Saenko 2016). It takes for granted that both scanners see about the same
    mix of classes: where they do not, it moves classes into each other.
    """

    KINDS: Final = ("none", "center", "standardise", "coral")

    def __init__(self, kind: str) -> None:
        if kind not in self.KINDS:
            raise ValueError(f"there is no alignment {kind!r}; known: {', '.join(self.KINDS)}")
        self.kind = kind

    def fit(self, reference: Matrix, new: Matrix) -> "Alignment":
        """Learn the map from cells of both scanners, (n, d) and (m, d)."""
        d = reference.shape[1]
        self.from_, self.to_ = np.zeros(d), np.zeros(d)
        self.matrix_ = np.eye(d)
        if self.kind != "none":
            self.from_, self.to_ = new.mean(0, np.float64), reference.mean(0, np.float64)
        if self.kind == "standardise":
            self.matrix_ = np.diag(reference.std(0, np.float64) / np.maximum(new.std(0, np.float64), 1e-6))
        if self.kind == "coral":
            # As much of the identity as the mean variance keeps few cells from stretching directions they do not span.
            whiten, color = (sqrtm(_covariance(X)).real for X in (new, reference))
            self.matrix_ = inv(whiten) @ color
        return self

    def transform(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Map embeddings (n, d) of the new scanner."""
        moved: npt.NDArray[np.float64] = (X - self.from_) @ self.matrix_ + self.to_
        return moved


def _covariance(X: Matrix) -> npt.NDArray[np.float64]:
    covariance: npt.NDArray[np.float64] = np.cov(X, rowvar=False)
    covariance += np.eye(X.shape[1]) * np.trace(covariance) / X.shape[1]
    return covariance


def choose_alignment(
    reference: tuple[Matrix, Labels],
    new: tuple[Matrix, Labels],
    unlabelled: Matrix,
    fit: Callable[[Matrix, Labels], Any],
) -> tuple[str, Mapping[str, float]]:
    """Return the kind of alignment that the new scanner's labels speak for, and the accuracy of each kind.

    `reference` and `new` are labelled embeddings, `unlabelled` further cells of the new scanner. Heads from `fit` learn
    from the reference and four fifths of the new labels and are tested on the last fifth. "none" wins unless another
    is right more often by two standard errors of the paired difference.
    """
    X, y = new
    codes = np.unique(y, return_inverse=True)[1]
    fold = folds_of(codes, _FOLDS)
    everything = np.concatenate([X, unlabelled])
    right = {}
    for kind in Alignment.KINDS:
        aligned = Alignment(kind).fit(reference[0], everything).transform(X)
        right[kind] = np.zeros(len(y))
        for number in np.unique(fold):
            held = fold == number
            head = fit(np.concatenate([reference[0], aligned[~held]]), np.concatenate([reference[1], y[~held]]))
            right[kind][held] = head.predict(aligned[held]) == y[held]
    gains = {kind: hits - right["none"] for kind, hits in right.items()}
    better = {k: g.mean() for k, g in gains.items() if g.mean() > 2 * g.std() / np.sqrt(len(y)) and g.mean() > 0}
    chosen = max(better, key=lambda kind: better[kind], default="none")
    return chosen, {kind: float(hits.mean()) for kind, hits in right.items()}
