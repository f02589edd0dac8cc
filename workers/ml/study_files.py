"""What a study leaves behind: its notes, tables, description and figures."""

import csv
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from workers.ml import study
from workers.ml.encoders import Encoder
from workers.ml.study_figures import draw_confusion, draw_curve, draw_map

console = Console()


@dataclass
class Report:
    """What study.json says besides the figures: sets, what was refused and what a reader must know."""

    sets: dict[str, dict[str, int]] = field(default_factory=dict)
    refused: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep a line and print it."""
        self.notes.append(text)
        console.print(f"Note: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def write(
    out: Path,
    experiment: study.Experiment,
    trials: Sequence[study.Trial],
    encoder: Encoder,
    report: Report,
    settings: dict[str, Any],
) -> None:
    """Write all of it into the folder `out`; `settings` are the options that study.json names."""
    _write_tables(out, experiment, trials)
    _write_description(out, encoder, report, settings)
    _write_figures(out, experiment, trials, encoder.name)


def _write_tables(out: Path, experiment: study.Experiment, trials: Sequence[study.Trial]) -> None:
    _write_csv(
        out / "results.csv",
        [
            {
                "head": trial.head,
                "per_class": trial.per_class,
                "draw": trial.draw,
                "balanced_accuracy": trial.balanced_accuracy,
                "macro_f1": trial.macro_f1,
            }
            for trial in trials
        ],
    )
    (out / "summary.json").write_text(json.dumps(study.summarise(trials), indent=2) + "\n")
    _write_csv(out / "per_class_recall.csv", study.as_rows(experiment, trials))


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def _write_description(out: Path, encoder: Encoder, report: Report, settings: dict[str, Any]) -> None:
    packages = ("fiftycells", "numpy", "scikit-learn", "torch", "umap-learn", "matplotlib")
    description = {
        "encoder": {"name": encoder.name, "sha256": encoder.sha256, "card": encoder.card},
        "command": ["fiftycells", *sys.argv[1:]],
        **settings,
        "seeds": "that of a draw is its number",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "images": report.sets,
        "refused": report.refused,
        "notes": report.notes,
    }
    (out / "study.json").write_text(json.dumps(description, indent=2) + "\n")


def _write_figures(out: Path, experiment: study.Experiment, trials: Sequence[study.Trial], encoder: str) -> None:
    draw_curve(out, study.summarise(trials))
    # In order of the labels, so that the last one of a head stays.
    most = {head: (k, group) for (head, k), group in study.grouped(trials).items()}
    for head, (k, group) in most.items():
        _write_confusion(out, f"{head}, {k} labels per class, {len(group)} draws", experiment, group)
    draw_map(out, experiment.X_test, [experiment.classes[code] for code in experiment.y_test], encoder)


def _write_confusion(out: Path, title: str, experiment: study.Experiment, trials: Sequence[study.Trial]) -> None:
    """Counts summed over the draws, rows the label, columns the prediction."""
    counts = np.sum([trial.confusion for trial in trials], 0)
    rows = experiment.scored
    columns = np.flatnonzero(counts.any(0) | np.isin(range(len(counts)), rows))
    names = [experiment.classes[code] for code in rows], [experiment.classes[code] for code in columns]
    counts = counts[np.ix_(rows, columns)]
    path = out / f"confusion-{trials[0].head}"
    draw_confusion(path, title, counts, *names)
    _write_csv(
        path.with_suffix(".csv"),
        [{"label": name, **dict(zip(names[1], row, strict=True))} for name, row in zip(names[0], counts, strict=True)],
    )
