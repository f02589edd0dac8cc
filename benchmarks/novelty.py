"""Whether a class that was never labelled is noticed: python -m benchmarks.novelty [--encoder FILE] [--draws N].

One class of Acevedo is left out in turn; a head is fitted on 50 labels of each other class. AUROC of its novelty on the
held-out 30 %, the left-out class against the others; and the share of the known cells that is kept.
"""

import json

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.real_cells import acevedo, argument_parser, draw
from workers.ml.heads import fit_head


def main() -> None:
    """Embed, fit on draws, print a row a class."""
    arguments = argument_parser(__doc__, draws=10).parse_args()
    train, test = acevedo(arguments.encoder)
    table: dict[str, dict[str, float]] = {}
    for left_out in np.unique(train.y):
        known = train[train.y != left_out]
        areas, kept, rejected = [], [], []
        for seed in range(arguments.draws):
            chosen = draw(known.y, 50, seed)
            # What has no label may be of any class, the left-out one as well.
            unlabelled = np.delete(train.X, np.flatnonzero(train.y != left_out)[chosen], axis=0)
            head = fit_head("ours", known.X[chosen], known.y[chosen], unlabelled)
            novelty, new = head.novelty(test.X), test.y == left_out
            areas.append(roc_auc_score(new, novelty))
            kept.append((novelty[~new] <= 1).mean())
            rejected.append((novelty[new] > 1).mean())
        table[str(left_out)] = {
            "auroc": round(float(np.mean(areas)), 4),
            "std": round(float(np.std(areas)), 4),
            "known_kept": round(float(np.mean(kept)), 4),
            "new_rejected": round(float(np.mean(rejected)), 4),
        }
        print(f"{left_out:4} {table[str(left_out)]}", flush=True)
    mean = round(float(np.mean([row["auroc"] for row in table.values()])), 4)
    print(f"mean AUROC {mean}, {arguments.draws} draws")
    print(json.dumps({"auroc": mean, "classes": table}))


if __name__ == "__main__":
    main()
