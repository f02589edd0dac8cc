"""The steps of an adaptation, a page each, and where a scanner stands."""

from dataclasses import dataclass
from typing import Any, Final

from app.adaptations.queries import Standing, last_gain
from app.errors import NotFound
from app.language import N_, _
from app.models import Adaptation
from app.predictions.meter import TARGET

TITLES: Final = {
    "cells": N_("Cells"),
    "shift": N_("Shift"),
    "spot-check": N_("Spot check"),
    "labels": N_("Labels"),
    "comparison": N_("Comparison"),
    "decision": N_("Decision"),
}
SPOT_CHECK: Final = 50
"""Validation cells that give a first accuracy, and how many are given to a person at once."""
LITTLE: Final = 0.01
"""Of balanced accuracy, for which more labels are not worth while."""


@dataclass(frozen=True)
class Step:
    """A page: its `name` in addresses, and whether what it asks for is done."""

    name: str
    done: bool


def steps(adaptation: Adaptation | None, standing: Standing) -> list[Step]:
    """Return all steps in their order. What was labelled since the newest comparison has to be compared again."""
    found = adaptation.comparison if adaptation else None
    labels = sum(standing.labels.values())
    done = {
        "cells": adaptation is not None,
        "shift": found is not None,
        "spot-check": adaptation is not None and standing.validated >= min(SPOT_CHECK, standing.validation),
        "labels": _enough(standing, found),
        "comparison": bool(found and found["comparison"] and labels and found["labels"] == labels),
        "decision": adaptation is not None and adaptation.decision is not None,
    }
    return [Step(name, done[name]) for name in TITLES]


def current(all_steps: list[Step]) -> Step:
    """Return the first step that is not done, the last if all are."""
    return next((each for each in all_steps if not each.done), all_steps[-1])


def neighbours(name: str) -> tuple[str | None, str | None]:
    """Return the steps before and after one."""
    names = [*TITLES]
    at = names.index(name)
    return names[at - 1] if at else None, names[at + 1] if at + 1 < len(names) else None


def require(name: str) -> str:
    """Return the name of a step; raises NotFound for any other."""
    if name not in TITLES:
        raise NotFound(_("There is no such step."))
    return name


def _enough(standing: Standing, found: dict[str, Any] | None) -> bool:
    """Say whether all classes have their labels, or the last labels brought next to nothing."""
    if all(count >= TARGET for count in standing.labels.values()):
        return True
    gain = last_gain(found)
    return gain is not None and gain[0] > 0 and gain[1] < LITTLE
