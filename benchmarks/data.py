"""What the benchmarks share: their images and the way they print."""

import csv
import json
import os
from pathlib import Path
from typing import Any

from workers.ml.rendering import CLASSES, demo_cells

GENERATED = 2000


def default_cells(_folder: Path, generated: int = GENERATED) -> tuple[str, dict[str, tuple[bytes, str]]]:
    """Return the Acevedo cells under FIFTYCELLS_DATA, or generated ones, with the name of what they are."""
    if root := os.environ.get("FIFTYCELLS_DATA"):
        folder = Path(root) / "acevedo"
        with (folder / "labels.csv").open(newline="") as file:
            rows = [(row["path"], row["label"]) for row in csv.DictReader(file)]
        return "Acevedo", {path: ((folder / "images" / path).read_bytes(), label) for path, label in rows}
    weights = dict.fromkeys(CLASSES, 1.0)
    return "generated", {name: (jpeg, code) for name, code, jpeg in demo_cells(generated, "A", 0, weights)}


def show(title: str, figures: dict[str, Any]) -> None:
    """Print figures as a table for people and as one line of JSON."""
    print(title)
    for name, value in figures.items():
        print(f"  {name:26} {value:>12,.3f}" if isinstance(value, float) else f"  {name:26} {value:>12,}")
    print(json.dumps(figures))
