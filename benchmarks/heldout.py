"""Balanced accuracy of the heads on held-out real cells: python -m benchmarks.heldout [--encoder FILE] [--draws N].

Labels are drawn from the 70 % of Acevedo cells any training may see, which our head also sees without labels; all
figures are on the other 30 %.
"""

import json
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from benchmarks.real_cells import RealCells, acevedo, argument_parser, draw
from workers.ml.evaluation import balanced_accuracy, expected_calibration_error
from workers.ml.heads import fit_head

SLOW = 5
"""The paper's power transform fits each dimension by search: so many times fewer draws."""


def trial(name: str, train: RealCells, test: RealCells, per_class: int, seed: int) -> tuple[float, float]:
    """Balanced accuracy and expected calibration error of one head fitted on one draw."""
    chosen = draw(train.y, per_class, seed)
    head = fit_head(name, train.X[chosen], train.y[chosen], np.delete(train.X, chosen, axis=0))
    proba = head.predict_proba(test.X)
    codes = np.searchsorted(head.classes_, test.y)
    return balanced_accuracy(codes, proba.argmax(1)), expected_calibration_error(codes, proba)


def main() -> None:
    """Embed, fit on draws, print."""
    parser = argument_parser(__doc__, draws=100)
    parser.add_argument("--heads", default="ours,paper-lr,paper-svm,paper-knn")
    arguments = parser.parse_args()
    train, test = acevedo(arguments.encoder)
    table: dict[str, dict[int, dict[str, float]]] = {}
    for name in arguments.heads.split(","):
        draws = arguments.draws if name == "ours" else max(3, arguments.draws // SLOW)
        table[name] = {}
        for per_class in (5, 10, 25, 50):
            run = partial(trial, name, train, test, per_class)
            accuracy, calibration = np.array(Parallel(-1)(delayed(run)(seed) for seed in range(draws))).T
            table[name][per_class] = {
                "mean": round(float(accuracy.mean()), 4),
                "std": round(float(accuracy.std()), 4),
                "ece": round(float(calibration.mean()), 4),
                "n": draws,
            }
            print(f"{name:10} {per_class:3} labels a class  {table[name][per_class]}", flush=True)
    print(json.dumps(table))


if __name__ == "__main__":
    main()
