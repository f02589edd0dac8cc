"""What labelling costs: python -m benchmarks.replay [--images N | DIR --labels CSV] [--draws N] [--errors SHARE].

A simulated reader (benchmarks/reader.py says what an action is and how long each takes) labels a project over HTTP
until 99 % of its cells carry the right class, (a) in random order, one cell after the other, (b) guided: groups that
look alike are named at once, then the cells that teach most are labelled, then the predictions of each class are
reviewed by exception, with jumps over what is right. The images are those of Acevedo under FIFTYCELLS_DATA, or
generated ones. A draw is a choice and an order of the images; (a) does not depend on it and is done once.
"""

import csv
import io
import json
import random
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx2
import numpy as np
import typer

from benchmarks.data import GENERATED, default_cells
from benchmarks.generated import settled
from benchmarks.loop import Cells, new_project, read_cells
from benchmarks.reader import DECIDE, PRESS, READ, Reader
from tests.live import Browser, Installation, installation
from tests.pages import Grid

GOAL = 0.99
SINGLES = 4
"""Batches of single cells that are labelled before the reviews."""


def carried(reader: Reader) -> tuple[int, int]:
    """Return how many cells carry the right class and how many a wrong one."""
    text = reader.browser.get(f"{reader.path}/annotations.csv").raise_for_status().text
    right = [reader.truth[int(row["cell_id"])] == row["class"] for row in csv.DictReader(io.StringIO(text))]
    return sum(right), len(right) - sum(right)


def done(reader: Reader) -> bool:
    """Say whether enough cells carry the right class."""
    return carried(reader)[0] >= GOAL * len(reader.truth)


def at_random(reader: Reader) -> None:
    """Label one cell after the other, in random order."""
    url = f"{reader.path}/cells?order=random"
    labelled = right = 0
    while True:
        page = reader.open(url)
        for cell in page.ids:
            code = reader.see(cell)
            reader.act("label", READ)
            reader.label([cell], code)
            right += code == reader.truth[cell]
            if right >= GOAL * len(reader.truth) or (labelled := labelled + 1) == len(reader.truth):
                return
        reader.act("page", PRESS)
        url = f"{reader.path}/cells?order=random&cursor={page.page['next-cursor']}"


def guided(reader: Reader) -> None:
    """Name groups, label what teaches most, then review the predictions class by class."""
    singles = 0
    while singles < SINGLES and not done(reader):
        page = _served(reader, "batches")
        if page is None:
            break
        if page.page["kind"] == "group":
            _name(reader, page)
        else:
            singles += 1
            for cell in page.ids:
                reader.act("single", READ)
                reader.label([cell], reader.see(cell))
    while not done(reader) and (page := _served(reader, "reviews")):
        Review(reader, page).go_through()


def _served(reader: Reader, what: str) -> Grid | None:
    """Ask for a batch and open it; None where there is nothing left."""
    reader.act("ask", DECIDE + PRESS)
    reader.settle()
    answer = reader.browser.post(f"{reader.path}/{what}", json={})
    if answer.status_code == httpx2.codes.CONFLICT:
        return None
    return reader.open(answer.raise_for_status().json()["url"])


def _name(reader: Reader, page: Grid) -> None:
    """Give all cells of a group the class most of them have, then correct the others."""
    seen = reader.glance(page.ids)
    ((most, _),) = Counter(seen.values()).most_common(1)
    reader.act("select all", PRESS)
    reader.act("name", DECIDE + PRESS)
    reader.label(page.ids, most)
    reader.correct({cell: code for cell, code in seen.items() if code != most}, "exception in a group")


class Review:
    """The predictions of one class, read as static/js/review.js lets one: jumps that double, then halve, then pages."""

    def __init__(self, reader: Reader, page: Grid) -> None:
        self.reader, self.page = reader, page
        self.code, self.url = page.page["review"], page.url
        self.total = int(page.page["total"])
        self.right, self.border, self.step = 0, self.total, 1
        self.found = False  # a page that is not all right

    def go_through(self) -> None:
        """Find how far the predictions are right, accept those, then read on page by page."""
        while self.right < self.border:
            self._judge()
        if self.right:
            self._accept_until()
        while self.right < self.total and not done(self.reader):
            self._accept_page()

    @property
    def _start(self) -> int:
        return int(self.page.page["offset"])

    @property
    def _size(self) -> int:
        return len(self.page.ids)

    def _exceptions(self) -> dict[int, str]:
        open_ = [int(tile["cell-id"]) for tile in self.page.tiles if not tile["class"]]
        return {cell: code for cell, code in self.reader.glance(open_).items() if code != self.code}

    def _judge(self) -> None:
        """Say whether all of the page is right, and look where the page then jumps to."""
        reader = self.reader
        exceptions = self._exceptions()
        reader.act("verdict", DECIDE + PRESS)
        place = None
        if exceptions:
            self.border, self.found = self._start, True
        else:
            self.right = self._start + self._size
            if not self.found:
                place = self.right + (self.step - 1) * self._size
            self.step *= 2
        pages = (self.border - self.right) // self._size
        place = place if place is not None else self.right + pages // 2 * self._size
        if self.right >= self.border:
            return
        if place >= self.border:
            place = max(self.right, self.border - self._size)
        self.page = reader.open(f"{self.url}&place={place}")

    def _accept_until(self) -> None:
        """Accept all up to the border as one step."""
        reader = self.reader
        reader.act("accept", DECIDE + PRESS)
        number = self.url.rpartition("=")[2]
        body = {"action": f"accept-{number}", "stop": self.right}
        reader.finish(reader.post(f"batches/{number}/accept", body)["job_id"])
        if self.right < self.total:
            self.page = reader.open(f"{self.url}&place={self.right}")

    def _accept_page(self) -> None:
        """Correct what is wrong on the page, accept the rest, turn to the next."""
        exceptions = self._exceptions()
        self.reader.correct(exceptions, "exception in a review")
        self.reader.act("accept", DECIDE + PRESS)
        standing = [
            int(t["cell-id"]) for t in self.page.tiles if not t["class"] and int(t["cell-id"]) not in exceptions
        ]
        self.reader.label(standing, self.code, "accepted")
        self.right = self._start + self._size
        if self.right < self.total:
            self.page = self.reader.open(f"{self.url}&place={self.right}")


def cost(reader: Reader) -> dict[str, float]:
    """Print what somebody did; returns the figures."""
    right, wrong = carried(reader)
    figures = {"actions": reader.actions, "minutes": reader.seconds / 60, "right": right / len(reader.truth)}
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in reader.by_kind.most_common())
    minutes, share = figures["minutes"], figures["right"]
    print(
        f"  {reader.actions:6,} actions, {minutes:5.1f} minutes, {share:.2%} right, {wrong} wrong: {kinds}", flush=True
    )
    return figures


@dataclass
class Lab:
    """A running installation and the cells that are labelled on it."""

    running: Installation
    browser: Browser
    rest: httpx2.Client
    cells: Cells
    errors: float

    def reader(self, seed: int) -> Reader:
        """Upload the cells, in an order of their own, to a new project; returns somebody who has it open."""
        order = random.Random(seed).sample(sorted(self.cells), len(self.cells))
        project = new_project(self.rest, f"Replay {uuid4()}", {name: self.cells[name] for name in order})
        settled(self.running)
        return Reader(self.browser, self.rest, project.id, project.truth, self.errors, seed)


def run(cells: Cells, draws: int, errors: float, data: Path) -> dict[str, Any]:
    """Replay both ways on an installation of its own; returns the figures."""
    with installation(data) as running, closing(running.browser()) as browser, browser.rest() as rest:
        lab = Lab(running, browser, rest, cells, errors)
        print("one after the other, in random order", flush=True)
        at_random(reader := lab.reader(0))
        alone = cost(reader)
        print("guided, then reviewed by exception", flush=True)
        helped = []
        for seed in range(draws):
            guided(reader := lab.reader(seed))
            helped.append(cost(reader))
    mean = {name: float(np.mean([figures[name] for figures in helped])) for name in helped[0]}
    return {
        "random": {"actions": alone["actions"], "minutes": round(alone["minutes"], 1)},
        "guided": {
            "actions": round(mean["actions"]),
            "minutes": round(mean["minutes"], 1),
            "std": round(float(np.std([figures["actions"] for figures in helped]))),
        },
        "ratio_actions": round(mean["actions"] / alone["actions"], 3),
        "right": round(mean["right"], 4),
    }


def main(
    images: Annotated[str, typer.Option(help="How many of the default images, or a folder (with --labels).")] = "",
    labels: Annotated[Path | None, typer.Option(help="CSV with columns path and label.")] = None,
    draws: Annotated[int, typer.Option(help="Draws of the guided way.")] = 2,
    errors: Annotated[float, typer.Option(help="Share of cells that the reader takes for another class.")] = 0.0,
) -> None:
    """Print actions and minutes of both ways."""
    if labels is not None:
        source, cells = "given", read_cells(Path(images), labels)
    else:
        source, cells = default_cells(Path(), int(images or GENERATED))
        count = min(int(images or len(cells)), len(cells))
        cells = {name: cells[name] for name in random.Random(0).sample(sorted(cells), count)}
    print(f"{len(cells):,} cells ({source}), until {GOAL:.0%} carry the right class, {errors:.1%} of readings wrong")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(cells, draws, errors, Path(folder) / "data")))


if __name__ == "__main__":
    typer.run(main)
