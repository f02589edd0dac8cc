"""The experiments of Wenderoth et al. 2025 on embeddings: few random labels, a head fitted, many times over."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from joblib import Parallel, cpu_count, delayed, parallel_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from workers.ml.heads import Head, fit_head, make_head
from workers.ml.paper_heads import PaperHead

Codes = npt.NDArray[np.intp]
Vectors = npt.NDArray[np.float32]
_SAMPLES: Final = 100


@dataclass(frozen=True)
class Experiment:
    """Embeddings to fit on and to test on.

    `X` (n, d) and `X_test` (m, d) are float32; `y` (n,) and `y_test` (m,) count in `classes`. What a head predicts is
    read through `read_as` (k,), which is the identity but for direct transfer, where several classes may be read as
    one. Only the classes `scored` count; no other is in `y_test`. `rows` (n,) and `rows_test` (m,) are the places of
    these embeddings in the sets they are taken from.
    """

    classes: list[str]
    X: Vectors
    y: Codes
    X_test: Vectors
    y_test: Codes
    read_as: Codes
    rows: Codes
    rows_test: Codes

    @property
    def scored(self) -> Codes:
        """Classes of the test set."""
        return np.unique(self.y_test)


@dataclass(frozen=True)
class Trial:
    """One head fitted on one draw. `confusion` is (k, k), rows the label, columns what was predicted."""

    head: str
    per_class: int
    draw: int
    balanced_accuracy: float
    macro_f1: float
    confusion: npt.NDArray[np.int64]


def draw(y: Codes, per_class: int, seed: int) -> npt.NDArray[np.intp]:
    """Indices of `per_class` random labels of each class, or of all if it has fewer; nested for the same seed."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(y == code))[:per_class] for code in np.unique(y)])


def run(
    experiment: Experiment,
    heads: Sequence[str],
    per_class: Sequence[int],
    draws: int,
    progress: Callable[[int], None] = lambda _done: None,
    processes: int | None = None,
) -> list[Trial]:
    """Fit every head on every draw, `processes` at a time (default: one a core), in order of head, labels and draw.

    Each has one BLAS thread and shares the embeddings in memory. `progress` is called with the number of trials done.
    """
    plan = [(head, k, seed) for head in heads for k in per_class for seed in range(draws)]
    trials = []
    # One BLAS thread each: more would only wait for each other.
    with parallel_config("loky", inner_max_num_threads=1):
        pool = Parallel(min(processes or cpu_count(), len(plan)), return_as="generator_unordered", max_nbytes="1M")
        for trial in pool(delayed(_trial)(experiment, *each) for each in plan):
            trials.append(trial)
            progress(len(trials))
    place = {each: i for i, each in enumerate(plan)}
    return sorted(trials, key=lambda trial: place[trial.head, trial.per_class, trial.draw])


def _trial(experiment: Experiment, head: str, per_class: int, seed: int) -> Trial:
    chosen = draw(experiment.y, per_class, seed)
    with warnings.catch_warnings():
        # With very few labels the search of the power transform runs to where it is flat and says so, thousands of
        # times in a study.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = _fitted(head, experiment, chosen)
    return compare(experiment, fitted.predict(experiment.X_test), head, per_class, seed)


def compare(experiment: Experiment, predicted: Codes, head: str, per_class: int, seed: int) -> Trial:
    """Compare predictions (m,) for the test cells, in `experiment.classes`, with their labels."""
    predicted = experiment.read_as[predicted]
    truth, scored = experiment.y_test, experiment.scored
    return Trial(
        head,
        per_class,
        seed,
        float(recall_score(truth, predicted, labels=scored, average="macro", zero_division=0)),
        float(f1_score(truth, predicted, labels=scored, average="macro", zero_division=0)),
        confusion_matrix(truth, predicted, labels=range(len(experiment.classes))),
    )


def _fitted(name: str, experiment: Experiment, chosen: npt.NDArray[np.intp]) -> Head:
    """The head, or what of it predicts: the paper's calibration costs five more fits and changes no prediction.

    Ours also sees the cells that the labels were drawn from, without their labels.
    """
    X, y = experiment.X[chosen], experiment.y[chosen]
    head = make_head(name)
    if isinstance(head, PaperHead):
        return head._pipeline().fit(X, y)
    return fit_head(name, X, y, np.delete(experiment.X, chosen, axis=0))


def summarise(trials: Sequence[Trial]) -> dict[str, dict[str, dict[str, float]]]:
    """Balanced accuracy over the draws, {head: {labels per class: {mean, std, n}}}; std is that of the draws."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for (head, k), group in grouped(trials).items():
        values = np.array([trial.balanced_accuracy for trial in group])
        table.setdefault(head, {})[str(k)] = {"mean": float(values.mean()), "std": float(values.std()), "n": len(group)}
    return table


def grouped(trials: Sequence[Trial]) -> dict[tuple[str, int], list[Trial]]:
    """Trials by head and number of labels, in the order they come."""
    groups: dict[tuple[str, int], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.head, trial.per_class), []).append(trial)
    return groups


def recalls(trials: Sequence[Trial], seed: int = 0) -> npt.NDArray[np.float64]:
    """Mean recall, low and high end of its 95 % interval, of each class over the draws: (k, 3), NaN without test cells.

    The interval holds both sources of chance, the draw of the labels and the number of test cells: it is that of the
    mixture of the draws' Jeffreys posteriors (Brown, Cai and DasGupta 2001).
    """
    right = np.stack([trial.confusion.diagonal() for trial in trials])
    totals = trials[0].confusion.sum(1)
    rng = np.random.default_rng(seed)
    sampled = rng.beta(right + 0.5, totals - right + 0.5, (_SAMPLES, *right.shape)).reshape(-1, len(totals))
    low, high = np.quantile(sampled, [0.025, 0.975], axis=0)
    mean = right.mean(0) / np.where(totals, totals, np.nan)
    # At 0 and 1 the posterior leaves out the very value that was seen in every draw.
    return np.stack([mean, np.fmin(low, mean), np.fmax(high, mean)], 1)


def adaptation(X: Vectors, y: Sequence[str], X_test: Vectors, y_test: Sequence[str]) -> tuple[Experiment, list[str]]:
    """Labels of the lab's own cells. Test classes without labels to fit on are left out, and named in the notes."""
    return transfer(X, y, X_test, y_test, {label: label for label in {*y}}, {label: label for label in {*y}})


def transfer(
    X: Vectors,
    y: Sequence[str],
    X_test: Vectors,
    y_test: Sequence[str],
    fitted: Mapping[str, str],
    tested: Mapping[str, str],
) -> tuple[Experiment, list[str]]:
    """Labels of another lab's cells: fit on those in `fitted`, test on those in `tested`; both map to a common code.

    As in the paper the head learns the classes of its own set, and its predictions are mapped. Raises ValueError
    if fewer than two classes remain.
    """
    keep, test = np.isin(y, [*fitted]), np.isin(y_test, [*tested])
    own = [label for label, kept in zip(y, keep, strict=True) if kept]
    truth = [tested[label] for label, kept in zip(y_test, test, strict=True) if kept]
    classes = sorted({*own, *fitted.values()})
    if len({*truth}) < 2 or len({*own}) < 2:
        raise ValueError(f"two classes with images in both sets are needed; there is {', '.join({*truth}) or 'none'}")
    code = {label: i for i, label in enumerate(classes)}
    lost = sorted({*y_test} - {*tested})
    notes = [f"{label}: {list(y_test).count(label)} test cells left out, no labels to fit on" for label in lost]
    return Experiment(
        classes,
        X[keep],
        np.array([code[label] for label in own]),
        X_test[test],
        np.array([code[label] for label in truth]),
        np.array([code[fitted.get(label, label)] for label in classes]),
        np.flatnonzero(keep),
        np.flatnonzero(test),
    ), notes


def short_classes(experiment: Experiment, per_class: Sequence[int]) -> dict[str, int]:
    """Classes with fewer cells than the largest number of labels, and how many they have."""
    codes, counts = np.unique(experiment.y, return_counts=True)
    return {experiment.classes[code]: int(n) for code, n in zip(codes, counts, strict=True) if n < max(per_class)}


def as_rows(experiment: Experiment, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Recall of each class for each head and number of labels, as rows of a table."""
    rows = []
    totals = np.bincount(experiment.y_test, minlength=len(experiment.classes))
    for (head, k), group in grouped(trials).items():
        for code, (mean, low, high) in enumerate(recalls(group)):
            if totals[code]:
                named = {"head": head, "per_class": k, "class": experiment.classes[code], "test_cells": totals[code]}
                rows.append(named | {"recall": mean, "low": low, "high": high})
    return rows
