"""Balanced accuracy of the heads on held-out real cells: python -m benchmarks.heldout [--encoder FILE] [--draws N].

Labels are drawn from the 70 % of Acevedo cells any training may see; all figures are on the other 30 %.
"""

import argparse
import csv
import json
import os
from pathlib import Path

import numpy as np

from workers.ml.bundle import in_training_part
from workers.ml.embedding import embed
from workers.ml.encoders import bundled_encoder_path, load_encoder
from workers.ml.evaluation import balanced_accuracy, expected_calibration_error
from workers.ml.heads import fit_head


def cells(root: Path) -> tuple[list[Path], np.ndarray]:
    """Paths and labels of the Acevedo cells."""
    with (root / "acevedo" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [root / "acevedo" / "images" / row["path"] for row in rows], np.array([row["label"] for row in rows])


def draw(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Indices of at most `per_class` random labels a class."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)])


def main() -> None:
    """Embed, fit on draws, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, default=bundled_encoder_path())
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--heads", default="ours,paper-lr,paper-svm,paper-knn")
    arguments = parser.parse_args()
    if "FIFTYCELLS_DATA" not in os.environ:
        raise SystemExit("set FIFTYCELLS_DATA to the folder with the real cells")
    paths, labels = cells(Path(os.environ["FIFTYCELLS_DATA"]))
    vectors = embed(load_encoder(arguments.encoder), [path.read_bytes() for path in paths]).vectors.astype(np.float64)
    training = np.array([in_training_part(path.name) for path in paths])
    X, y, X_test, y_test = vectors[training], labels[training], vectors[~training], labels[~training]
    table: dict[str, dict[int, dict[str, float]]] = {}
    for name in arguments.heads.split(","):
        table[name] = {}
        for per_class in (5, 10, 25, 50):
            # The paper's power transform fits each dimension by search and is slow: fewer draws.
            draws = arguments.draws if name == "ours" else max(3, arguments.draws // 4)
            results = []
            for seed in range(draws):
                chosen = draw(y, per_class, seed)
                head = fit_head(name, X[chosen], y[chosen], np.delete(X, chosen, axis=0))
                proba = head.predict_proba(X_test)
                codes = np.searchsorted(head.classes_, y_test)
                results.append((balanced_accuracy(codes, proba.argmax(1)), expected_calibration_error(codes, proba)))
            accuracy, calibration = np.array(results).T
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
