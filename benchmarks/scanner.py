"""A new scanner brought into use over HTTP, step by step as on its pages: python -m benchmarks.scanner [--seeds 20].

The old lab's cells come from one scanner with 50 labels of each class, the new lab's from another without any. Cells
are set aside for validation and labelled; then the others are labelled, 5, 10, 25, 50 of each class or as many as there
are, and after each step candidates are compared on the validation cells. A seed is a project of its own with other
labels and other validation cells. In the first `--trained` seeds the encoder is trained further on the new lab's cells
at the end, where there are enough of them, and compared as well. Generated scanners come first, A as the old one and C
as the new one; then, with FIFTYCELLS_DATA, Acevedo's training part as the old lab and the 128 cells of BCISC as the
new one. The last line is the JSON of the last pair.
"""

import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx2
import numpy as np
import typer

from benchmarks.data import default_cells
from benchmarks.loop import Cells, every, upload
from benchmarks.real_cells import bcisc_files
from tests.live import installation, until
from workers.ml.bundle import in_training_part
from workers.ml.rendering import CLASSES, demo_cells

COUNTS = (5, 10, 25, 50)
OLD_LABELS = 50  # of each class
CLOSE = 0.01
BEATS_AT = 10
PATIENCE, LONG_PATIENCE = 600, 7200
FEWEST_TRAINED = 256  # cells
TRAINED = "both, trained further"

T = TypeVar("T", int, str)


@dataclass
class Pair:
    """An old and a new lab, and how many cells of the new one are set aside."""

    name: str
    old: Cells
    new: Cells
    validation: int


@dataclass
class Found:
    """Balanced accuracies (a value a seed) by candidate and labels a class, and seconds by step."""

    accuracy: dict[str, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    missed: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))  # by the recommended candidate
    expected: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    gained: list[float] = field(default_factory=list)  # by the encoder trained further
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def take(self, labels: int, comparison: Mapping[str, Any]) -> None:
        """Note what a comparison says."""
        each = {item["name"]: item["balanced_accuracy"] for item in comparison["candidates"]}
        for name, value in each.items():
            self.accuracy[name][labels].append(value)
        self.missed[labels].append(max(each.values()) - each[comparison["recommended"]])
        self.expected[labels].append(comparison["expected"])

    def take_trained(self, labels: int, comparison: Mapping[str, Any]) -> None:
        """Note what a comparison says of the encoder trained further, and of the same labels by the usual one."""
        each = {item["name"]: item["balanced_accuracy"] for item in comparison["candidates"]}
        self.accuracy[TRAINED][labels].append(each[TRAINED])
        self.gained.append(each[TRAINED] - each["both"])

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        begin = time.perf_counter()
        yield
        self.seconds[name].append(time.perf_counter() - begin)


class Walk:
    """One seed: a project, from its first cell to the candidate that reports."""

    def __init__(self, rest: httpx2.Client, pair: Pair, seed: int, found: Found) -> None:
        self.rest, self.pair, self.found = rest, pair, found
        self.rng = np.random.default_rng(seed)
        classes = [{"code": code, "name": code} for code in sorted({code for _data, code in pair.old.values()})]
        name = f"{pair.name} {seed}"
        self.project = self._post("/projects", name=name, classes=classes)["id"]

    def lab(self, name: str, cells: Cells) -> tuple[int, dict[int, str]]:
        """Add a scanner with a slide of these cells; returns its id and the class of each cell."""
        scanner = self._post(f"/projects/{self.project}/scanners", name=name)["id"]
        slide = self._post(f"/projects/{self.project}/slides", accession=name, scanner_id=scanner)["id"]
        upload(self.rest, slide, cells)
        return scanner, {item["id"]: cells[item["name"]][1] for item in every(self.rest, f"/slides/{slide}/cells")}

    def _post(self, path: str, **body: Any) -> Any:
        return self.rest.post(path, json=body).raise_for_status().json()

    def label(self, cells: Mapping[int, str]) -> None:
        """Give cells their class."""
        items = [{"cell_id": cell, "class": code} for cell, code in cells.items()]
        if items:
            self._post(f"/projects/{self.project}/annotations", items=items)

    def go(self, *, trained: bool) -> None:
        """Walk through the steps; `trained`: with an encoder trained further as a candidate at the end."""
        _scanner, old = self.lab("Old", self._drawn(self.pair.old))
        self.label(old)
        with self.found.step("upload and embed the new scanner's cells"):
            scanner, new = self.lab("New", self.pair.new)
        address = f"/scanners/{scanner}/adaptation"
        with self.found.step("set validation cells aside and measure the shift"):
            frozen = set(self._post(address, cells=self.pair.validation)["validation_cells"])
            self._compared(address)
        self.label({cell: new[cell] for cell in frozen})
        labels, comparison = self._learn(address, {cell: code for cell, code in new.items() if cell not in frozen})
        if trained and len(new) >= FEWEST_TRAINED:
            with self.found.step("train the encoder further"):
                self._train(scanner)
            with self.found.step("compare with the encoder trained further"):
                comparison = self._compare(address)
            self.found.take_trained(labels, comparison)
        with self.found.step("decide, until it reports"):
            self._post(f"{address}/decision", candidate=comparison["recommended"], reason="Best of this walk")
            until(lambda: not self.rest.get(address).json()["adopting"], PATIENCE, "the decision is not followed")

    def _train(self, scanner: int) -> None:
        run = self._post(f"/projects/{self.project}/pretrainings", scanner_id=scanner)["id"]
        until(lambda: self.rest.get(f"/pretrainings/{run}").json()["state"] == "done", LONG_PATIENCE, "no encoder")

    def _compare(self, address: str) -> Any:
        self.rest.post(f"{address}/comparisons").raise_for_status()
        return self._compared(address)["comparison"]

    def _learn(self, address: str, free: Mapping[int, str]) -> tuple[int, Any]:
        """Label more and more cells; returns how many of a class at the end, and the last comparison."""
        order = self.rng.permutation([*free]).tolist()
        given: dict[int, str] = {}
        most, comparison = 0, None
        for labels in (0, *COUNTS):
            chosen = _first(labels, [(cell, free[cell]) for cell in order])
            if labels and chosen.keys() == given.keys():
                break
            self.label({cell: code for cell, code in chosen.items() if cell not in given})
            most, given = labels, chosen
            with self.found.step("compare"):
                comparison = self._compare(address)
            self.found.take(labels, comparison)
        return most, comparison

    def _drawn(self, cells: Cells) -> Cells:
        names = self.rng.permutation(sorted(cells)).tolist()
        return {name: cells[name] for name in _first(OLD_LABELS, [(name, cells[name][1]) for name in names])}

    def _compared(self, address: str) -> Any:
        until(lambda: not self.rest.get(address).json()["comparing"], PATIENCE, "the comparison does not end")
        return self.rest.get(address).raise_for_status().json()["comparison"]


def _first(count: int, cells: Sequence[tuple[T, str]]) -> dict[T, str]:
    """Return the first so many cells of each class."""
    seen: Counter[str] = Counter()
    chosen = {}
    for cell, code in cells:
        seen[code] += 1
        if seen[code] <= count:
            chosen[cell] = code
    return chosen


def pairs() -> Iterator[Pair]:
    """Return the labs there are."""
    weights = dict.fromkeys(CLASSES, 1.0)
    old, new = ({name: (jpeg, code) for name, code, jpeg in demo_cells(800, each, 1, weights)} for each in "AC")
    yield Pair("generated scanners", old, new, 200)
    if "FIFTYCELLS_DATA" in os.environ:
        _name, found = default_cells(Path())
        old = {name: cell for name, cell in found.items() if in_training_part(Path(name).name)}
        yield Pair("Acevedo to BCISC", old, bcisc_files(), 50)


def show(pair: Pair, found: Found) -> None:
    """Print tables, then a line of JSON."""
    table = {
        name: {
            labels: {
                "mean": round(float(np.mean(values)), 4),
                "std": round(float(np.std(values)), 4),
                "interval": np.quantile(values, [0.025, 0.975]).round(4).tolist(),
                "n": len(values),
            }
            for labels, values in each.items()
        }
        for name, each in found.accuracy.items()
    }
    print(f"{pair.name}: balanced accuracy on {pair.validation} validation cells")
    for name, each in table.items():
        for labels, figure in each.items():
            low, high = figure["interval"]
            mean = f"{figure['mean']:.3f} ± {figure['std']:.3f}"
            print(f"  {name:18} {labels:3} labels a class  {mean}  ({low:.3f} to {high:.3f})")
    for labels, missed in found.missed.items():
        close = sum(value <= CLOSE for value in missed)
        print(f"  recommended, {labels:2} labels a class: within a point of the best in {close} of {len(missed)} seeds")
    direct = table["existing"][0]["mean"]
    worse = [
        name for name, each in table.items() if name != "existing" and each.get(BEATS_AT, {"mean": 1})["mean"] <= direct
    ]
    print(
        f"  with {BEATS_AT} labels a class no better than direct transfer ({direct:.3f}): {', '.join(worse) or 'none'}"
    )
    if found.gained:
        print(
            f"  the encoder trained further, against the same labels by the usual one: {np.mean(found.gained):+.3f}"
            f" ± {np.std(found.gained):.3f} in {len(found.gained)} seeds"
        )
    for step, seconds in found.seconds.items():
        print(f"  {step:50} {np.median(seconds):6.1f} s (median), {max(seconds):6.1f} s (longest)")
    print(json.dumps(table))


def main(
    seeds: Annotated[int, typer.Option(min=1)] = 20,
    only: Annotated[str, typer.Option(help="Begin of a name.")] = "",
    trained: Annotated[int, typer.Option(min=0, help="Seeds in which the encoder is trained further.")] = 3,
) -> None:
    """Walk with every pair of labs, print, end with JSON."""
    with (
        tempfile.TemporaryDirectory() as folder,
        installation(Path(folder) / "data") as running,
        closing(running.browser()) as manager,
        closing(manager.rest()) as rest,
    ):
        for pair in pairs():
            if pair.name.startswith(only):
                found = Found()
                for seed in range(seeds):
                    Walk(rest, pair, seed, found).go(trained=seed < trained)
                show(pair, found)


if __name__ == "__main__":
    typer.run(main)
