"""`fiftycells study`: the paper's experiments on any labelled sets, as tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from workers.ml import study
from workers.ml.embedding_cache import EmbeddingCache, cache_folder
from workers.ml.encoders import EncoderFileError, bundled_encoder_path, load_encoder
from workers.ml.heads import HEADS
from workers.ml.layouts import LabelledImages, listed, read_labelled, transfer_mapping
from workers.ml.sources import Source
from workers.ml.starts import IMAGENET
from workers.ml.study_files import Report, console, write
from workers.ml.supervised import SupervisedRecipe
from workers.ml.supervised_study import DIRECT, Baseline, Images, frames_of


@dataclass(frozen=True)
class EmbeddedSet:
    """Vectors (n, d) float32 of the readable images of a labelled set, these images, their labels and sha256."""

    vectors: study.Vectors
    sources: list[Source]
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
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Also train the encoder's network end to end on the same labels.")
    ] = False,
    supervised_weights: Annotated[
        str, typer.Option(help="What that begins with: imagenet, random, or a safetensors file with weights.")
    ] = IMAGENET,
    supervised_draws: Annotated[
        int | None, typer.Option(help="Its draws; at most 3 if not given, for it is slow.", min=1)
    ] = None,
    supervised_epochs: Annotated[int, typer.Option(help="Its epochs; 0: 30, or more for 300 updates.", min=0)] = 0,
    supervised_rate: Annotated[float, typer.Option(help="Its learning rate; the paper's, for XCiT, is 1e-4.")] = 1e-3,
) -> None:
    """Draw few labels at random, fit, test; many times over. Reproduces the experiments of Wenderoth et al. 2025."""
    try:
        numbers, names = _numbers(per_class), _heads(heads)
        root, table = (train_root, train_csv) if fit_root is None else (fit_root, fit_csv)
        if root is None:
            raise ValueError("give --train-root, or --fit-root for direct transfer")
        fitted, tested = read_labelled(root, table), read_labelled(test_root, test_csv)
        network = load_encoder(bundled_encoder_path() if encoder == "bundled" else Path(encoder))
        report, direct, recipe = Report(), fit_root is not None, SupervisedRecipe(supervised_epochs, supervised_rate)
        baseline = Baseline(network, supervised_weights, recipe, supervised_draws or min(3, draws), direct)
        if supervised:
            report.note(baseline.checked())
        known = EmbeddingCache(cache or cache_folder(), network)
        vectors = {name: _embed(known, images, name, report) for name, images in (("fit", fitted), ("test", tested))}
        experiment = _experiment(vectors["fit"], vectors["test"], report, numbers, direct=direct)
        trials = _fit_heads(experiment, names, numbers, draws, processes)
        out.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {"draws": draws, "per_class": numbers, "heads": names}
        if supervised:
            trials += _train(baseline, vectors, experiment, numbers, out)
            settings["supervised"] = baseline.settings
    except (EncoderFileError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    write(out, experiment, trials, network, report, settings)
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
    return EmbeddedSet(
        embedded.vectors[good].astype(np.float32),
        [images.sources[i] for i in good],
        [images.labels[i] for i in good],
        [hashes[i] for i in good],
    )


def _experiment(
    fit: EmbeddedSet, test: EmbeddedSet, report: Report, numbers: list[int], *, direct: bool
) -> study.Experiment:
    if both := {*fit.images} & {*test.images}:
        report.note(f"{len(both)} images are in both sets, byte for byte: the accuracy is too high by what they bring")
    arrays = (fit.vectors, fit.labels, test.vectors, test.labels)
    if not direct:
        experiment, notes = study.adaptation(*arrays)
    else:
        mapping = transfer_mapping(fit.labels, test.labels)
        experiment, notes = study.transfer(*arrays, mapping.fitted, mapping.tested)
        notes = mapping.notes + notes
    short = study.short_classes(experiment, numbers)
    for text in [*notes, *(f"{name}: only {count} cells to draw labels from" for name, count in short.items())]:
        report.note(text)
    return experiment


def _fit_heads(
    experiment: study.Experiment, names: list[str], numbers: list[int], draws: int, processes: int | None
) -> list[study.Trial]:
    with _progress("fits") as progress:
        task = progress.add_task("", total=len(names) * len(numbers) * draws)
        return study.run(
            experiment, names, numbers, draws, lambda done: progress.update(task, completed=done), processes
        )


def _train(
    baseline: Baseline,
    sets: dict[str, EmbeddedSet],
    experiment: study.Experiment,
    numbers: list[int],
    out: Path,
) -> list[study.Trial]:
    """Train and test the supervised baseline; keep the first network that has learnt all labels of the fit set."""
    with TemporaryDirectory(dir=out) as folder, _progress("supervised: images") as progress:
        task = progress.add_task("")

        def told(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        fit, test = (frames_of(baseline.encoder, sets[name].sources, Path(folder, name), told) for name in sets)
        trials = []
        for trial, network in baseline.run(experiment, Images(fit, sets["fit"].labels, test), numbers, told):
            trials.append(trial)
            if (trial.head, trial.draw) == (DIRECT, 0):
                network.save(out / f"{DIRECT}.safetensors")
    return trials


def _print(trials: Sequence[study.Trial], out: Path) -> None:
    summary = study.summarise(trials)
    table = Table("head", title="Balanced accuracy by labels per class, mean and deviation over draws")
    numbers = [str(k) for k in sorted({trial.per_class for trial in trials})]
    for k in numbers:
        table.add_column(k, no_wrap=True)
    for head, cells in summary.items():
        table.add_row(head, *(f"{cells[k]['mean']:.3f} ± {cells[k]['std']:.3f}" if k in cells else "" for k in numbers))
    console.print(table)
    console.print(f"Tables and figures are in {out}", markup=False, soft_wrap=True)
