"""What a head does at another lab: python -m benchmarks.transfer [--encoder FILE] [--draws N].

Direct transfer: fitted on 50 random labels a class of Acevedo's training part, five shared classes, tested on BCISC.
Adaptation: fitted on 10 random labels a class of all other BCISC groups, tested on each group in turn. Figures are on
the groups that the encoder has not seen, and on all.
"""

import json

import numpy as np

from benchmarks.real_cells import CODES, acevedo, argument_parser, bcisc, draw, unseen
from workers.ml.evaluation import balanced_accuracy
from workers.ml.heads import fit_head


def main() -> None:
    """Embed, fit on draws, print mean and deviation over the draws."""
    arguments = argument_parser(__doc__, draws=20).parse_args()
    train, _ = acevedo(arguments.encoder)
    train = train[np.isin(train.y, [*CODES.values()])]
    cells = bcisc(arguments.encoder)
    found: dict[str, list[float]] = {}
    for seed in range(arguments.draws):
        chosen = draw(train.y, 50, seed)
        head = fit_head("ours", train.X[chosen], train.y[chosen], np.delete(train.X, chosen, axis=0))
        for name, tested in (("direct, unseen groups", unseen(cells)), ("direct, all groups", cells)):
            codes = [np.searchsorted(head.classes_, labels) for labels in (tested.y, head.predict(tested.X))]
            found.setdefault(name, []).append(balanced_accuracy(*codes))
        predicted = np.empty_like(cells.y)
        for group in np.unique(cells.part):
            own, others = cells[cells.part == group], cells[cells.part != group]
            chosen = draw(others.y, 10, seed)
            head = fit_head("ours", others.X[chosen], others.y[chosen], np.delete(others.X, chosen, axis=0))
            predicted[cells.part == group] = head.predict(own.X)
        codes = [np.searchsorted(np.unique(cells.y), labels) for labels in (cells.y, predicted)]
        tested = np.isin(cells.part, unseen(cells).part)
        found.setdefault("10 labels, unseen groups", []).append(balanced_accuracy(*(code[tested] for code in codes)))
        found.setdefault("10 labels, all groups", []).append(balanced_accuracy(*codes))
    figures = {
        name: {"mean": round(float(np.mean(values)), 4), "std": round(float(np.std(values)), 4), "n": len(values)}
        for name, values in found.items()
    }
    print(f"{len(cells.y)} cells of BCISC, {len(unseen(cells).y)} in groups that the encoder has not seen")
    for name, figure in figures.items():
        print(f"{name:26} {figure}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
