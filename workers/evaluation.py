"""What a project's labels say of its classifier, and which of them the others contradict."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from workers.material import Material
from workers.ml.evaluation import Evaluation, Fit, assess, cross_validate, gain_of_more, roll_up

CONFLICTS: Final = 200
"""Most labels that are called into question."""
DOUBTFUL: Final = 0.5
"""Out-of-fold probability of its class from which on a label is not doubted."""
COMPARED: Final = 4_000
"""Of more labels none are compared with each other for copies."""
COPY: Final = 0.1
"""Two cells nearer than this share of the usual distance to the nearest neighbour are one picture."""


def evaluate(material: Material, fit: Fit) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return cross-validated figures as JSON, and the labels that the rest of the data contradicts.

    Classes in the order of `classes`, rows of `confusion` are the labels. `by_parent` counts subclasses as their
    parent, None in a project without any. `gain` is what ten more labels of a class would likely add to its recall.
    """
    X, y = material.X, material.y
    found = cross_validate(X, y, fit)
    metrics = _metrics(found, roll_up(y, found.proba, found.classes, material.parents))
    return {**metrics, "gain": _or_none(gain_of_more(X, y, fit, found))}, _conflicts(material, X, found)


def validate(
    head: Any, X: npt.NDArray[np.floating[Any]], y: npt.NDArray[np.str_], parents: dict[str, str]
) -> dict[str, Any]:
    """Return the same figures of a head on cells with embeddings X (n, d) and labels y (n,) that no head learnt from.

    Classes are those the head knows or the cells have; what ten more labels would bring cannot be said.
    """
    classes = sorted({*map(str, head.classes_), *map(str, y)})
    proba = np.zeros((len(y), len(classes)))
    proba[:, np.searchsorted(classes, head.classes_)] = head.predict_proba(X)
    found = assess(np.searchsorted(classes, y), proba, classes)
    metrics = _metrics(found, roll_up(y, proba, classes, parents))
    return {**metrics, "gain": [None] * len(classes), "notes": []}


def _metrics(found: Evaluation, top: Evaluation) -> dict[str, Any]:
    return {
        "classes": found.classes,
        "held_out": found.held_out,
        "confusion": found.confusion.tolist(),
        "recall": _or_none(found.recall),
        "recall_interval": [list(interval) for interval in found.recall_interval],
        "balanced_accuracy": found.balanced_accuracy,
        "interval": list(found.balanced_accuracy_interval),
        "calibration_error": found.calibration_error,
        "notes": found.notes,
        "by_parent": {
            "classes": top.classes,
            "balanced_accuracy": top.balanced_accuracy,
            "interval": list(top.balanced_accuracy_interval),
        }
        if len(top.classes) > 1 and top.classes != found.classes
        else None,
    }


def _or_none(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _conflicts(material: Material, X: npt.NDArray[np.float32], found: Evaluation) -> list[dict[str, Any]]:
    """Return labels that others contradict, those with most effect first: [{cell_id, class, other, why, effect, ...}].

    The effect is how far the other class is ahead, divided by the labels of the class: of fifty labels a wrong one
    harms as much as ten of five hundred.
    """
    codes = np.searchsorted(found.classes, material.y)
    counts = np.bincount(codes)
    given = found.proba[np.arange(len(codes)), codes]
    best = np.nan_to_num(found.proba).argmax(1)
    ahead = np.nan_to_num(found.proba.max(1) - given)
    twin = _twins(X, codes)
    doubted = np.flatnonzero(((given < DOUBTFUL) & (best != codes)) | (twin >= 0))
    effect = np.where(twin >= 0, 1.0, ahead) / counts[codes]
    items: list[dict[str, Any]] = []
    for at in doubted[np.argsort(-effect[doubted], kind="stable")][:CONFLICTS].tolist():
        item = {"cell_id": int(material.labelled[at]), "class": str(material.y[at]), "effect": float(effect[at])}
        if twin[at] >= 0:
            other = int(twin[at])
            items.append({**item, "why": "copy", "other": str(material.y[other]), "of": int(material.labelled[other])})
        else:
            items.append({**item, "why": "unlikely", "other": found.classes[best[at]], "given": float(given[at])})
    return items


def _twins(X: npt.NDArray[np.float32], codes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return for each label (n,) another one of nearly the same picture with another class, -1 where there is none."""
    none = np.full(len(X), -1, np.intp)
    if not 2 < len(X) <= COMPARED:
        return none
    squared = np.square(X).sum(1)
    distance = np.sqrt(np.maximum(squared[:, None] + squared - 2 * X @ X.T, 0))
    np.fill_diagonal(distance, np.inf)
    usual = np.median(distance.min(1))
    distance[codes[:, None] == codes] = np.inf
    nearest = distance.argmin(1)
    return np.where(distance.min(1) < COPY * usual, nearest, none)
