"""How many labels a chosen order needs: python -m benchmarks.selection [--encoder FILE] [--draws N].

The goal is the mean balanced accuracy, on the held-out 30 % of Acevedo, of 50 random labels a class. From no label on,
each strategy picks cells of the training part, which are then labelled; printed is with how many labels in all, divided
by the number of classes, the mean over the draws reaches the goal for good, and each strategy's curve.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed

from benchmarks.real_cells import RealCells, acevedo, argument_parser, draw
from workers.ml.evaluation import balanced_accuracy
from workers.ml.heads import fit_head
from workers.ml.selection import cold_start, next_cells

FIRST, BATCH, MOST = 24, 8, 240
Rows = npt.NDArray[np.intp]
Strategy = Callable[[RealCells, Any, Rows, int, int], Rows]


def active(train: RealCells, head: Any, labelled: Rows, count: int, seed: int) -> Rows:
    """The product's own: clusters at first, then unsure and diverse."""
    if head is None:
        return cold_start(train.X, count, seed)
    per_class = np.array([(train.y[labelled] == c).sum() for c in head.classes_])
    return next_cells(train.X, head.predict_proba(train.X), labelled, per_class, count, seed)


def margins(train: RealCells, head: Any, labelled: Rows, count: int, seed: int) -> Rows:
    """Clusters at first, then the smallest margins."""
    if head is None:
        return cold_start(train.X, count, seed)
    best = np.sort(head.predict_proba(train.X), axis=1)[:, -2:]
    order = np.argsort(best[:, 1] - best[:, 0])
    return order[~np.isin(order, labelled)][:count]


def typical(train: RealCells, _head: Any, labelled: Rows, count: int, seed: int) -> Rows:
    """Typical cells of ever more clusters."""
    order = cold_start(train.X, len(labelled) + count, seed)
    return order[~np.isin(order, labelled)][:count]


def at_random(train: RealCells, _head: Any, labelled: Rows, count: int, seed: int) -> Rows:
    """Any cells."""
    free = np.setdiff1d(np.arange(len(train.y)), labelled)
    return np.random.default_rng([seed, len(labelled)]).choice(free, count, replace=False)


STRATEGIES: dict[str, Strategy] = {"active": active, "margins": margins, "typical": typical, "random": at_random}


def accuracy(train: RealCells, test: RealCells, labelled: Rows) -> tuple[Any, float]:
    """Head fitted on these labels, and its balanced accuracy; classes not found yet count as wrong."""
    head = fit_head("ours", train.X[labelled], train.y[labelled], np.delete(train.X, labelled, axis=0))
    classes = np.unique(train.y)
    codes = [np.searchsorted(classes, labels) for labels in (test.y, head.predict(test.X))]
    return head, balanced_accuracy(*codes)


def curve(train: RealCells, test: RealCells, strategy: Strategy, seed: int) -> list[float]:
    """Balanced accuracy after FIRST labels and each further BATCH."""
    labelled = strategy(train, None, np.empty(0, np.intp), FIRST, seed)
    found = []
    while True:
        head, reached = accuracy(train, test, labelled)
        found.append(reached)
        if len(found) > (MOST - FIRST) // BATCH:
            return found
        labelled = np.concatenate([labelled, strategy(train, head, labelled, BATCH, seed)])


def needed(means: npt.NDArray[np.float64], goal: float, classes: int) -> float | None:
    """Labels per class from which on the curve stays at the goal; None if it never does."""
    below = np.flatnonzero(means < goal)
    step = below[-1] + 1 if len(below) else 0
    return (FIRST + BATCH * int(step)) / classes if step < len(means) else None


def main() -> None:
    """Embed, run all strategies, print."""
    arguments = argument_parser(__doc__, draws=20).parse_args()
    train, test = acevedo(arguments.encoder)
    classes = len(np.unique(train.y))
    seeds = range(arguments.draws)
    pool = Parallel(-1)
    goal = float(np.mean(pool(delayed(lambda s: accuracy(train, test, draw(train.y, 50, s))[1])(s) for s in seeds)))
    print(f"goal, 50 random labels a class: {goal:.4f}")
    labels: dict[str, float | None] = {}
    for name, strategy in STRATEGIES.items():
        run = partial(curve, train, test, strategy)
        means = np.mean(pool(delayed(run)(seed) for seed in seeds), axis=0)
        labels[name] = needed(means, goal, classes)
        places = ", ".join(f"{FIRST + BATCH * i}: {means[i]:.4f}" for i in range(0, len(means), 3))
        print(f"{name:8} {labels[name]} labels a class; {places}", flush=True)
    print(json.dumps({"goal": round(goal, 4), "labels_per_class": labels, "n": arguments.draws}))


if __name__ == "__main__":
    main()
