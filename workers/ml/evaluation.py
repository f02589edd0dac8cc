"""How far a classifier may be trusted, from its own labels: cross-validation with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from workers.ml.lda import folds_of

Codes = npt.NDArray[np.intp]
Interval = tuple[float, float]
Fit = Callable[[npt.NDArray[np.float64], npt.NDArray[Any]], Any]
"""Returns a fitted head for X (n, d), y (n,)."""

GAIN_FROM: Final = 8
"""Labels of a class from which on something can be said of more."""
_TRUST: Final = 20
"""Labels of a class that weigh as much as the mean of all classes."""
_DRAWS: Final = 4000
_BINS: Final = 10


@dataclass(frozen=True)
class Evaluation:
    """Out-of-fold figures over the labelled cells; classes in the order of `classes` throughout.

    `proba` is float64 (n, k), NaN in the rows of cells that were never held out; `held_out` counts the
    others. `confusion` is (k, k), rows the label and columns the prediction. `recall` and
    `balanced_accuracy` come with 95 % intervals; a class none of whose cells was held out has recall
    NaN, does not count in the balanced accuracy and is named in `notes`.
    """

    classes: list[Any]
    proba: npt.NDArray[np.float64]
    held_out: int
    confusion: npt.NDArray[np.int64]
    recall: npt.NDArray[np.float64]
    recall_interval: list[Interval]
    balanced_accuracy: float
    balanced_accuracy_interval: Interval
    calibration_error: float
    notes: list[str]


def cross_validate(
    X: npt.NDArray[np.floating[Any]],
    y: npt.ArrayLike,
    fit: Fit,
    folds: int = 5,
    seed: int = 0,
) -> Evaluation:
    """Evaluate what `fit` makes of X (n, d), y (n,) by stratified folds: it is called without each fold in turn.

    A class with fewer labels than folds is spread over as many folds as it has labels, each held out
    once. A class's only label is never held out, for the head would not know the class. Raises
    ValueError when fewer than two classes have two labels.
    """
    labels = np.asarray(y)
    classes, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes)
    if (counts > 1).sum() < 2:
        raise ValueError("cross-validation needs two classes with at least two labels each")
    proba = _out_of_fold(np.asarray(X, np.float64), labels, codes, fit, folds, seed)
    return assess(codes, proba, classes.tolist(), seed)


def roll_up(
    y: npt.ArrayLike, proba: npt.NDArray[np.float64], classes: Sequence[str], parents: Mapping[str, str], seed: int = 0
) -> Evaluation:
    """Evaluate the same probabilities (n, k) of labels y (n,) with every class counted as the one at the top above it.

    `parents` names the parent of each class that has one; a parent is as probable as all its children.
    """

    def top(code: str) -> str:
        return top(parents[code]) if code in parents else code

    tops = [top(code) for code in classes]
    names = sorted({*tops})
    member = np.array([[name == each for name in names] for each in tops], np.float64)
    return assess(np.searchsorted(names, [top(code) for code in np.asarray(y)]), proba @ member, names, seed)


def assess(codes: Codes, proba: npt.NDArray[np.float64], classes: list[Any], seed: int = 0) -> Evaluation:
    """Evaluate out-of-fold probabilities (n, k), NaN where there are none, of cells whose classes are codes (n,)."""
    held = np.flatnonzero(np.isfinite(proba).all(1))
    predicted = proba[held].argmax(1)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (codes[held], predicted), 1)
    right, totals = np.diag(confusion), confusion.sum(1)
    evaluated = totals > 0
    return Evaluation(
        classes=classes,
        proba=proba,
        held_out=len(held),
        confusion=confusion,
        recall=np.where(evaluated, right / np.maximum(totals, 1), np.nan),
        recall_interval=[jeffreys(int(r), int(n)) for r, n in zip(right, totals, strict=True)],
        balanced_accuracy=float((right[evaluated] / totals[evaluated]).mean()),
        balanced_accuracy_interval=balanced_interval(right[evaluated], totals[evaluated], seed),
        calibration_error=expected_calibration_error(codes[held], proba[held]),
        notes=[f"{classes[c]}: its only label was not held out" for c in np.flatnonzero(~evaluated)],
    )


def gain_of_more(
    X: npt.NDArray[np.floating[Any]], y: npt.ArrayLike, fit: Fit, now: Evaluation, more: int = 10, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return what `more` labels of each class would likely add to its recall (k,).

    NaN for a class with fewer than GAIN_FROM labels. Recall is taken to grow with the logarithm of a class's labels.
    The slope is what doubling them has brought so far: the recall `now`, of all labels, less that of two halves of
    them. With few labels it is drawn to the mean slope of all classes.
    """
    labels = np.asarray(y)
    codes = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(codes)
    gain = np.full(len(counts), np.nan)
    if (known := counts >= GAIN_FROM).sum() < 2:
        return gain
    order = np.random.default_rng(seed).permutation(len(codes))
    half = np.empty(len(codes), np.intp)
    half[order] = folds_of(codes[order], 2)
    usable = known[codes]
    recalls = [cross_validate(X[part], labels[part], fit).recall for part in (usable & (half == i) for i in (0, 1))]
    slope = np.maximum(now.recall[known] - np.mean(recalls, axis=0), 0) / np.log(2)
    trust = counts[known] / (counts[known] + _TRUST)
    slope = trust * slope + (1 - trust) * slope.mean()
    likely = slope * np.log((counts[known] + more) / counts[known])
    gain[known] = np.minimum(likely, 1 - now.recall[known])
    return gain


def balanced_accuracy(codes: Codes, predicted: Codes) -> float:
    """Mean over the classes present in `codes` of the share predicted right."""
    right = np.bincount(codes, weights=codes == predicted)
    totals = np.bincount(codes)
    return float((right[totals > 0] / totals[totals > 0]).mean())


def jeffreys(right: int, total: int) -> Interval:
    """95 % Jeffreys interval of a share (Brown, Cai and DasGupta 2001), closed at 0 and at 1."""
    if total == 0:
        return (0.0, 1.0)
    low = 0.0 if right == 0 else float(betaincinv(right + 0.5, total - right + 0.5, 0.025))
    high = 1.0 if right == total else float(betaincinv(right + 0.5, total - right + 0.5, 0.975))
    return (low, high)


def balanced_interval(right: npt.NDArray[Any], totals: npt.NDArray[Any], seed: int = 0) -> Interval:
    """95 % credible interval of the balanced accuracy, classes independent.

    The posterior of the mean of the recalls, each Beta under Jeffreys' prior, by simulation (Brodersen
    et al. 2010, with that prior). Unlike a bootstrap it does not shrink to a point when every one of
    a few labels was predicted right. It treats the folds' heads as one, as is usual.
    """
    rng = np.random.default_rng(seed)
    recalls = rng.beta(right + 0.5, totals - right + 0.5, (_DRAWS, len(totals)))
    low, high = np.quantile(recalls.mean(1), [0.025, 0.975])
    return (float(low), float(high if (right < totals).any() else 1.0))


def expected_calibration_error(codes: Codes, proba: npt.NDArray[np.floating[Any]]) -> float:
    """Mean gap between confidence and accuracy over ten equal-width bins (Guo et al. 2017)."""
    confidence = proba.max(1)
    right = proba.argmax(1) == codes
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence.astype(float), minlength=_BINS)
    return float(np.abs(gaps).sum() / len(codes))


def _out_of_fold(
    X: npt.NDArray[np.float64],
    labels: npt.NDArray[Any],
    codes: Codes,
    fit: Fit,
    folds: int,
    seed: int,
) -> npt.NDArray[np.float64]:
    """Probabilities (n, k) of each cell by a head that had not seen it; NaN where there is none."""
    counts = np.bincount(codes)
    proba = np.full((len(codes), len(counts)), np.nan)
    order = np.random.default_rng(seed).permutation(len(codes))
    fold = np.empty(len(codes), np.intp)
    fold[order] = folds_of(codes[order], min(folds, counts.max()))
    for number in range(fold.max() + 1):
        held = (fold == number) & (counts[codes] > 1)
        if held.any():
            proba[held] = fit(X[~held], labels[~held]).predict_proba(X[held])
    return proba
