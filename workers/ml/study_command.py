"""`fiftycells study`: the paper's experiments on any labelled sets, as tables and figures."""

import csv
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from workers.ml import study
from workers.ml.embedding_cache import EmbeddingCache, cache_folder
from workers.ml.encoders import Encoder, EncoderFileError, bundled_encoder_path, load_encoder
from workers.ml.heads import HEADS
from workers.ml.layouts import LabelledImages, listed, read_labelled, transfer_mapping
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


@dataclass(frozen=True)
class EmbeddedSet:
    """Vectors (n, d) float32 of the readable images of a labelled set, their labels and sha256."""

    vectors: study.Vectors
    labels: list[str]
    images: list[str]


def main(  # noqa: PLR0913 - the options of a command
    test_root: Annotated[Path, typer.Option(help="Folder or ZIP of the images to test on.")],
    out: Annotated[Path, typer.Option(help="Folder for tables and figures.")],
    encoder: Annotated[str, typer.Option(help="Encoder file, or: bundled.")] = "bundled",
    train_root: Annotated[Path | None, typer.Option(help="Images the labels are drawn from.")] = None,
    train_csv: Annotated[Path | None, typer.Option(help="CSV with path,label. Without: a public set's layout.")] = None,
    test_csv: Annotated[Path | None, typer.Option(help="The same for the images to test on.")] = None,
    fit_root: Annotated[
        Path | None, typer.Option(help="Direct transfer: another lab's images, used instead of --train-root.")
    ] = None,
    fit_csv: Annotated[Path | None, typer.Option(help="The same for these.")] = None,
    per_class: Annotated[str, typer.Option(help="Labels per class.")] = "5,10,25,50",
    draws: Annotated[int, typer.Option(help="Random draws of the labels.", min=1)] = 100,
    heads: Annotated[str, typer.Option(help=f"Of {', '.join(HEADS)}.")] = "paper-lr,paper-svm,paper-knn,ours",
    cache: Annotated[
        Path | None, typer.Option(help="Folder of known embeddings; ~/.cache/fiftycells if not given.")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="Draws at a time; all cores if not given.", min=1)] = None,
) -> None:
    """Draw few labels at random, fit, test; many times over. Reproduces the experiments of Wenderoth et al. 2025."""
    try:
        numbers, names = _numbers(per_class), _heads(heads)
        root, table = (train_root, train_csv) if fit_root is None else (fit_root, fit_csv)
        if root is None:
            raise ValueError("give --train-root, or --fit-root for direct transfer")
        fitted, tested = read_labelled(root, table), read_labelled(test_root, test_csv)
        network = load_encoder(bundled_encoder_path() if encoder == "bundled" else Path(encoder))
        report = Report()
        known = EmbeddingCache(cache or cache_folder(), network)
        vectors = {name: _embed(known, images, name, report) for name, images in (("fit", fitted), ("test", tested))}
        experiment = _experiment(vectors["fit"], vectors["test"], report, direct=fit_root is not None)
        for name, count in study.short_classes(experiment, numbers).items():
            report.note(f"{name}: only {count} cells to draw labels from")
        with _progress("fits") as progress:
            task = progress.add_task("", total=len(names) * len(numbers) * draws)
            trials = study.run(
                experiment, names, numbers, draws, lambda done: progress.update(task, completed=done), processes
            )
    except (EncoderFileError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    _write_tables(out, experiment, trials)
    _write_description(out, network, report, {"draws": draws, "per_class": numbers, "heads": names})
    _write_figures(out, experiment, trials, network.name)
    _print(trials, out)


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"labels per class are numbers such as 5,10,25,50, not {text!r}")
    return sorted({int(part) for part in parts})


def _heads(text: str) -> list[str]:
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if unknown := [name for name in names if name not in HEADS]:
        raise ValueError(f"there is no head {', '.join(unknown)}; known: {', '.join(HEADS)}")
    return names


def _progress(what: str) -> Progress:
    return Progress(TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console)


def _embed(cache: EmbeddingCache, images: LabelledImages, name: str, report: Report) -> EmbeddedSet:
    """Embed a set; what cannot be read is left out and named."""
    for text in images.notes:
        report.note(f"{name} set: {text}")
    with _progress(f"{name} images") as progress:
        task = progress.add_task("", total=len(images.sources))
        embedded, hashes = cache.embed(images.sources, lambda done: progress.update(task, completed=done))
    report.sets[name] = images.counts
    report.refused[name] = {images.sources[i].name: reason for i, reason in sorted(embedded.errors.items())}
    if refused := [f"{file} ({reason})" for file, reason in report.refused[name].items()]:
        report.note(f"{name} set: images that cannot be used are left out, {listed(refused)}")
    good = [i for i in range(len(hashes)) if i not in embedded.errors]
    labels = [images.labels[i] for i in good]
    return EmbeddedSet(embedded.vectors[good].astype(np.float32), labels, [hashes[i] for i in good])


def _experiment(fit: EmbeddedSet, test: EmbeddedSet, report: Report, *, direct: bool) -> study.Experiment:
    if both := {*fit.images} & {*test.images}:
        report.note(f"{len(both)} images are in both sets, byte for byte: the accuracy is too high by what they bring")
    arrays = (fit.vectors, fit.labels, test.vectors, test.labels)
    if not direct:
        experiment, notes = study.adaptation(*arrays)
    else:
        mapping = transfer_mapping(fit.labels, test.labels)
        experiment, notes = study.transfer(*arrays, mapping.fitted, mapping.tested)
        notes = mapping.notes + notes
    for text in notes:
        report.note(text)
    return experiment


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
    most = max(trial.per_class for trial in trials)
    for (head, k), group in study.grouped(trials).items():
        if k == most:
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


def _print(trials: Sequence[study.Trial], out: Path) -> None:
    summary = study.summarise(trials)
    table = Table("head", title="Balanced accuracy by labels per class, mean and deviation over draws")
    for k in next(iter(summary.values())):
        table.add_column(k, no_wrap=True)
    for head, cells in summary.items():
        table.add_row(head, *(f"{cell['mean']:.3f} ± {cell['std']:.3f}" for cell in cells.values()))
    console.print(table)
    console.print(f"Tables and figures are in {out}", markup=False, soft_wrap=True)
