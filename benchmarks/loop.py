"""The loop as a user lives it: upload a ZIP over HTTP, label, and see every label change the predictions.

`python -m benchmarks.loop [--images DIR --labels CSV] [--per-class 50] [--seed 0]` starts a server of its own in a
temporary folder. The labels are given one by one, in random order, by one person who waits for the new scores after
each. The accuracy is that of the last predictions on all cells that were never labelled.
"""

import csv
import io
import json
import random
import tempfile
import threading
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import httpx2
import numpy as np
import typer

from app.predictions.meter import TARGET
from benchmarks.data import default_cells, show
from tests.live import Browser, installation

Cells = dict[str, tuple[bytes, str]]  # name in the ZIP -> bytes, label


@dataclass
class Waiter:
    """Listens to the event stream of a project and knows up to which annotation the scores have followed."""

    browser: Browser
    project: int
    newest: int = 0

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with (
            suppress(httpx2.TransportError),
            self.browser.stream("GET", f"/projects/{self.project}/events", timeout=None) as stream,
        ):
            kind = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: ") and kind == "scores":
                    with self._changed:
                        self.newest = json.loads(line.removeprefix("data: "))["newest_annotation_id"]
                        self._changed.notify_all()

    def wait(self, annotation_id: int) -> None:
        """Return when scores know of an annotation."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.newest >= annotation_id, 60):
                raise TimeoutError(f"no scores for annotation {annotation_id} within a minute")


class Project(NamedTuple):
    """A project with its cells: the label each is to have, the seconds until all were stored and until embedded."""

    id: int
    truth: dict[int, str]
    stored: float
    embedded: float


def read_cells(images: Path, labels: Path) -> Cells:
    """Read the cells that a CSV with columns path and label names."""
    with labels.open(newline="") as file:
        return {row["path"]: ((images / row["path"]).read_bytes(), row["label"]) for row in csv.DictReader(file)}


def upload(client: httpx2.Client, slide: int, cells: Cells) -> tuple[float, float]:
    """Send the cells as one ZIP; returns the seconds until all were stored and until all were embedded."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, (data, _) in cells.items():
            archive.writestr(name, data)
    start = time.perf_counter()
    files = {"files": ("cells.zip", buffer.getvalue(), "application/zip")}
    answer = client.post(f"/slides/{slide}/images", files=files).raise_for_status()
    _until(lambda: _job(client, answer.headers["Location"])["state"] == "done")
    stored = time.perf_counter() - start
    _until(lambda: (found := client.get(f"/slides/{slide}").json()["counts"])["embedded"] >= found["cells"])
    return stored, time.perf_counter() - start


def _job(client: httpx2.Client, location: str) -> dict[str, Any]:
    job: dict[str, Any] = client.get(location.removeprefix("/api/v1/")).raise_for_status().json()
    if job["state"] == "dead":
        raise RuntimeError(job["message"])
    return job


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.1)


def every(client: httpx2.Client, path: str) -> Iterator[dict[str, Any]]:
    """Yield the items of a list of the REST interface, page by page."""
    cursor = ""
    while cursor is not None:
        page = client.get(path, params={"limit": 1000, **({"cursor": cursor} if cursor else {})}).json()
        yield from page["items"]
        cursor = page["next_cursor"]


def new_project(client: httpx2.Client, name: str, cells: Cells) -> Project:
    """Make a project with the classes of these cells, upload them and wait until they are embedded."""
    classes = [{"code": code, "name": code} for code in sorted({label for _, label in cells.values()})]
    project = client.post("/projects", json={"name": name, "classes": classes}).raise_for_status().json()["id"]
    scanner = client.post(f"/projects/{project}/scanners", json={"name": name}).raise_for_status().json()["id"]
    body = {"accession": name, "scanner_id": scanner}
    slide = client.post(f"/projects/{project}/slides", json=body).raise_for_status().json()["id"]
    stored, embedded = upload(client, slide, cells)
    truth = {cell["id"]: cells[cell["name"]][1] for cell in every(client, f"/slides/{slide}/cells")}
    return Project(project, truth, stored, embedded)


def draw(truth: dict[int, str], per_class: int, seed: int) -> list[tuple[int, str]]:
    """Draw `per_class` cells of each class and shuffle them."""
    by_class: dict[str, list[int]] = defaultdict(list)
    for cell, label in sorted(truth.items()):
        by_class[label].append(cell)
    rng = random.Random(seed)
    drawn = [(cell, label) for label, ids in by_class.items() for cell in rng.sample(ids, min(per_class, len(ids)))]
    rng.shuffle(drawn)
    return drawn


def replay(browser: Browser, project: int, drawn: list[tuple[int, str]]) -> list[float]:
    """Give each label and wait for its scores; returns the seconds from the click to the new page, per label."""
    waiter = Waiter(browser, project)
    time.sleep(0.5)  # the stream is open
    seconds, given = [], Counter[str]()
    for number, (cell, label) in enumerate(drawn):
        given[label] += 1
        start = time.perf_counter()
        body = {"action": f"bench-{number:06d}", "items": [{"cell_id": cell, "class": label}]}
        answer = browser.post(f"/projects/{project}/annotations", json=body).raise_for_status().json()
        if sum(count >= 2 for count in given.values()) < 2:
            continue
        waiter.wait(answer["newest_annotation_id"])
        browser.get(f"/projects/{project}/cells", headers={"HX-Request": "true"}).raise_for_status()
        seconds.append(time.perf_counter() - start)
    return seconds


def accuracy(browser: Browser, project: int, truth: dict[int, str], labelled: set[int]) -> float:
    """Balanced accuracy of the present predictions on the cells that were never labelled."""
    text = browser.get(f"/projects/{project}/predictions.csv").raise_for_status().text
    right, total = Counter[str](), Counter[str]()
    for row in csv.DictReader(io.StringIO(text)):
        cell = int(row["cell_id"])
        if cell not in labelled:
            total[truth[cell]] += 1
            right[truth[cell]] += row["predicted"] == truth[cell]
    return float(np.mean([right[label] / total[label] for label in total]))


def run(cells: Cells, per_class: int, seed: int, data: Path) -> dict[str, float]:
    """Run the whole loop on an installation of its own; returns the figures."""
    with installation(data) as running, closing(running.browser()) as browser, browser.rest() as client:
        project, truth, stored, embedded = new_project(client, "Bench", cells)
        drawn = draw(truth, per_class, seed)
        seconds = replay(browser, project, drawn)
        fits = client.get(f"/projects/{project}/classifiers", params={"limit": 20}).raise_for_status().json()["items"]
        return {
            "cells": len(truth),
            "labels": len(drawn),
            "received_per_s": len(truth) / stored,
            "embedded_per_s": len(truth) / embedded,
            "label_to_scores_p50_s": float(np.percentile(seconds, 50)),
            "label_to_scores_p95_s": float(np.percentile(seconds, 95)),
            "fit_score_s": float(np.median([fit["fit_seconds"] for fit in fits])),
            "balanced_accuracy": accuracy(browser, project, truth, {cell for cell, _ in drawn}),
        }


def main(
    images: Annotated[Path | None, typer.Option(help="Folder the paths in the CSV start from.")] = None,
    labels: Annotated[Path | None, typer.Option(help="CSV with columns path and label.")] = None,
    per_class: Annotated[int, typer.Option(help="Labels given per class.")] = TARGET,
    seed: Annotated[int, typer.Option(help="Seed of the draw of labelled cells.")] = 0,
) -> None:
    """Print the figures of the loop."""
    if (images is None) != (labels is None):
        raise typer.BadParameter("--images and --labels go together")
    with tempfile.TemporaryDirectory() as folder:
        source, cells = ("given", read_cells(images, labels)) if images and labels else default_cells(Path(folder))
        figures = run(cells, per_class, seed, Path(folder) / "data")
    show(f"The loop on {figures['cells']:,} cells ({source}), {per_class} labels per class, seed {seed}", figures)


if __name__ == "__main__":
    typer.run(main)
