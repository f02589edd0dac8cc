"""Metrics under another scheme: the confusion of a classifier, its classes put together as a mapping says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.reports.intervals import limits


@dataclass(frozen=True)
class Target:
    """A class of the other scheme: the codes that make it, how many labels they hold, the share found again with its
    95 % interval. Cells predicted as a class without counterpart count as missed."""

    name: str
    codes: tuple[str, ...]
    labels: int
    recall: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Rolled:
    """Metrics of a classifier under a mapping. Rows of `confusion` are the targets, its columns the same and, last,
    predictions without counterpart. `left_out` are the classes without counterpart, whose labels are not counted."""

    targets: tuple[Target, ...]
    confusion: tuple[tuple[int, ...], ...]
    left_out: tuple[str, ...]
    balanced_accuracy: float | None


def rolled(metrics: Mapping[str, Any], target_of: Mapping[str, str]) -> Rolled:
    """Put the rows and columns of a cross-validated confusion together by `target_of`, {code: target or ""}.

    Balanced accuracy is the mean recall of the targets that hold labels; each class it was measured in counts once
    here, and its parts no more.
    """
    codes: Sequence[str] = metrics["classes"]
    names = list(dict.fromkeys(target_of[code] for code in codes if target_of.get(code)))
    member = np.array([[target_of.get(code) == name for name in names] for code in codes], np.int64)
    member = member.reshape(len(codes), len(names))
    rows = member.T @ np.asarray(metrics["confusion"], np.int64)
    elsewhere = 1 - member.sum(axis=1, keepdims=True)
    confusion = rows @ np.hstack([member, elsewhere])
    targets = [
        _target(name, [code for code in codes if target_of.get(code) == name], row, at)
        for at, (name, row) in enumerate(zip(names, confusion, strict=True))
    ]
    found = [each.recall for each in targets if each.recall is not None]
    return Rolled(
        targets=tuple(targets),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        left_out=tuple(code for code in codes if not target_of.get(code)),
        balanced_accuracy=sum(found) / len(found) if found else None,
    )


def _target(name: str, codes: Sequence[str], row: Any, at: int) -> Target:
    labels, right = int(row.sum()), int(row[at])
    if not labels:
        return Target(name, tuple(codes), 0, None, None)
    low, high = limits(right, labels)
    return Target(name, tuple(codes), labels, right / labels, (float(low), float(high)))
