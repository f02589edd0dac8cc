"""Which head serves a new scanner best, told on cells that no head has learnt from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from workers.ml.evaluation import Interval, balanced_interval, jeffreys
from workers.ml.lda import folds_of
from workers.ml.shift import Alignment

Matrix = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[Any]
Fit = Callable[[Matrix, Labels, Matrix | None], Any]
"""Returns a fitted LogisticLDA for X (n, d), y (n,) and perhaps cells without labels (m, d)."""

TRAINED: Final = "both, trained further"
CANDIDATES: Final = ("existing", "existing, aligned", "both", "both, aligned", "new", TRAINED)
"""Heads of the reference's labels, of both, of the new scanner's; aligned, the new one's cells are standardised to the
reference first; trained further, an encoder that was continued on unlabelled cells sees them. All but the first, which
is what there was, learn from cells without labels as well. Of equals the earlier is recommended: not aligned before
aligned, few labels only after these, and last what needs all cells embedded anew. A head of few labels has nothing to
be aligned to."""
CLOSE: Final = 0.01
"""Difference of balanced accuracy on validation cells below which candidates count as equal there."""
FEWEST_LABELS: Final = 5
"""Labels of a class of the new scanner from which on it can be held out to choose a candidate."""
_FOLDS: Final = 5
_BOOTSTRAPS: Final = 999


@dataclass(frozen=True)
class Seen:
    """Cells as one encoder sees them, embeddings (n, d): labelled ones of the reference and of the new scanner, some of
    the new one without a label, and validation cells."""

    reference: Matrix
    new: Matrix
    unlabelled: Matrix
    validation: Matrix


@dataclass(frozen=True)
class Truth:
    """Labels (n,) of the cells of `Seen`."""

    reference: Labels
    new: Labels
    validation: Labels


@dataclass(frozen=True)
class Candidate:
    """What a head says of n validation cells, k classes in the order of `Comparison.classes`.

    `right` and `total` (k,) count cells; the `interval` of `balanced_accuracy` is Bayesian (Brodersen et al. 2010),
    those of `recall` Jeffreys'. `held_out` is the balanced accuracy over the fitting labels of the new scanner, each
    predicted by a head that had not seen it; None with too few. `p_value` is McNemar's exact test against the existing
    head, Holm's correction applied; None of that head itself.
    """

    name: str
    right: list[int]
    total: list[int]
    balanced_accuracy: float
    interval: Interval
    recall: list[float]
    recall_interval: list[Interval]
    held_out: float | None
    p_value: float | None


@dataclass(frozen=True)
class Comparison:
    """All candidates that could be made, and the one to be recommended.

    As validation cells have a say in that, its figure on them is flattered: `expected` is the balanced accuracy to be
    expected of it, with its 95 % interval; None where no class has two validation cells.
    """

    classes: list[str]
    candidates: list[Candidate]
    recommended: str
    expected: float | None
    expected_interval: Interval | None


def compare(seen: Seen, truth: Truth, fit: Fit, trained: Seen | None = None) -> tuple[Comparison, dict[str, Any]]:
    """Compare what can be made of labelled cells of a reference and of a new scanner, on validation cells of the new.

    Alignment and heads also learn from the unlabelled cells. The new scanner may have no label; a reference has some.
    `trained` are the same cells as an encoder trained further sees them. ValueError without validation cells. The
    balanced accuracy is over the classes that occur among these. Also returns the head of each candidate, by its name;
    all of them take embeddings of the new scanner as they are.
    """
    if not len(truth.validation):
        raise ValueError("no validation cell has a label")
    classes, codes = np.unique(truth.validation, return_inverse=True)
    aligned = Alignment("standardise").fit(seen.reference, np.concatenate([seen.new, seen.unlabelled]))
    heads, held_out, right = {}, {}, {}
    for name in CANDIDATES:
        cells = trained if name == TRAINED else seen
        if cells is None or not _possible(name, truth.new):
            continue

        def head_of(X: Matrix, y: Labels, name: str = name, cells: Seen = cells) -> Any:
            return _head(name, replace(cells, new=X), replace(truth, new=y), aligned, fit)

        heads[name] = head_of(cells.new, truth.new)
        held_out[name] = _held_out(head_of, cells.new, truth.new)
        right[name] = heads[name].predict(cells.validation) == truth.validation
    p_values = holm({name: _mcnemar(right["existing"], hits) for name, hits in right.items() if name != "existing"})
    found = [_judge(name, hits, codes, held_out[name], p_values.get(name)) for name, hits in right.items()]
    expected, interval = expect_of_best(np.array([*right.values()]), codes)
    return Comparison(classes.tolist(), found, recommend(found), expected, interval), heads


def recommend(found: list[Candidate]) -> str:
    """Return, of the candidates that are CLOSE to the best on the validation cells, the best over held-out labels.

    Of equals, and without any held-out label, the first.
    """
    best = max(each.balanced_accuracy for each in found)
    close = [each for each in found if each.balanced_accuracy > best - CLOSE]
    return max(close, key=lambda each: each.held_out or 0).name


def expect_of_best(hits: npt.NDArray[np.bool_], codes: Labels, seed: int = 0) -> tuple[float | None, Interval | None]:
    """Balanced accuracy to be expected of whichever of c candidates is best on n cells, and its 95 % interval.

    `hits` (c, n) says which cells each has right, `codes` (n,) are classes from 0. Bootstrap bias correction
    (Tsamardinos, Greasidou and Borboudakis 2018, Machine Learning 107:1895): the best on cells drawn with replacement,
    class by class, is judged on those that were not drawn. None where no class has two cells.
    """
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    classes = [cells for cells in classes if len(cells) > 1]
    if not classes:
        return None, None
    found = np.full((_BOOTSTRAPS, len(classes)), np.nan)
    for draw in found:
        drawn = [rng.choice(cells, len(cells)) for cells in classes]
        best = np.mean([hits[:, cells].mean(1) for cells in drawn], axis=0).argmax()
        for number, cells in enumerate(classes):
            others = np.setdiff1d(cells, drawn[number])
            if len(others):
                draw[number] = hits[best, others].mean()
    found = found[~np.isnan(found).all(1)]
    low, high = np.quantile(np.nanmean(found, axis=1), [0.025, 0.975])
    return float(np.nanmean(found, axis=0).mean()), (float(low), float(high))


def _possible(name: str, y: Labels) -> bool:
    if name.startswith("existing"):
        return True
    counts = np.unique(y, return_counts=True)[1]
    return bool(len(counts)) if name.startswith("both") else (counts > 1).sum() > 1


def _head(name: str, cells: Seen, labels: Truth, aligned: Alignment, fit: Fit) -> Any:
    """Return a fitted head that takes embeddings of the new scanner as they are: it aligns them by itself."""
    if name == "new":
        return fit(cells.new, labels.new, cells.unlabelled)
    X, y = cells.reference, labels.reference
    if name == "existing":
        return fit(X, y, None)
    if name.startswith("both") and len(labels.new):
        seen = aligned.transform(cells.new) if name.endswith("aligned") else cells.new
        X, y = np.concatenate([X, seen]), np.concatenate([y, labels.new])
    if not name.endswith("aligned"):
        return fit(X, y, cells.unlabelled)
    head = fit(X, y, aligned.transform(cells.unlabelled))
    return head.after(aligned.from_, np.maximum(np.diag(aligned.matrix_), 1e-6), aligned.to_)


def _held_out(head_of: Callable[[Matrix, Labels], Any], X: Matrix, y: Labels) -> float | None:
    """Balanced accuracy over the classes with FEWEST_LABELS, None with fewer than two such."""
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    judged = np.flatnonzero(counts >= FEWEST_LABELS)
    if len(judged) < 2:
        return None
    fold, right = folds_of(codes, _FOLDS), np.zeros(len(y))
    for number in range(_FOLDS):
        held = fold == number
        right[held] = head_of(X[~held], y[~held]).predict(X[held]) == y[held]
    return float(np.mean([right[codes == code].mean() for code in judged]))


def _mcnemar(first: Labels, second: Labels) -> float:
    """Exact two-sided p-value (McNemar 1947, binomial) of two heads' hits on the same cells."""
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Correct p-values for their number (Holm 1979)."""
    corrected, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda each: p_values[each])):
        largest = max(largest, min(1.0, p_values[name] * (len(p_values) - rank)))
        corrected[name] = largest
    return corrected


def _judge(name: str, hits: Labels, codes: Labels, held_out: float | None, p_value: float | None) -> Candidate:
    total = np.bincount(codes)
    right = np.bincount(codes, weights=hits).astype(int)
    return Candidate(
        name=name,
        right=right.tolist(),
        total=total.tolist(),
        balanced_accuracy=float((right / total).mean()),
        interval=balanced_interval(right, total),
        recall=(right / total).tolist(),
        recall_interval=[jeffreys(int(r), int(n)) for r, n in zip(right, total, strict=True)],
        held_out=held_out,
        p_value=p_value,
    )
