"""A simulated reader: sees what a page shows, presses what a person would press, and takes as long as people take."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import httpx2

from benchmarks.loop import Waiter
from tests.live import Browser, until
from tests.pages import Grid, grid_of
from workers.material import FEWEST_CLASSES, FEWEST_LABELS

READ: Final = 1.0
"""Seconds to tell the class of one cell and press its key: a microscope's reader with a tally counter takes 1.0 s a
cell, one at DI-60 1.8 (doi 10.3343/alm.2022.42.4.398)."""
GLANCE: Final = 3600 / 16_000
"""Seconds to see that a cell belongs among cells of one class: 16,000 an hour with MorphoCluster, all clicks included
(Schröder et al. 2020)."""
PRESS: Final = 0.28
"""Seconds of a key press of somebody who types 40 words a minute (Card, Moran and Newell 1980)."""
DECIDE: Final = 1.35
"""Seconds to make up one's mind before a command (the same)."""
PATIENCE: Final = 60.0
POINT: Final = 1.1
"""Seconds to point at a cell with a mouse (the same)."""


@dataclass
class Reader:
    """Somebody who labels a project. An action is a key press, a click or a turn of the page.

    `truth` is what they would call each cell; of the cells they look at they mistake a share of `errors`.
    """

    browser: Browser
    rest: httpx2.Client
    project: int
    truth: dict[int, str]
    errors: float = 0.0
    seed: int = 0
    actions: int = 0
    seconds: float = 0.0
    by_kind: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._classes = sorted(set(self.truth.values()))
        self._waiter = Waiter(self.browser, self.project)
        self._newest = 0
        self._given: Counter[str] = Counter()
        self._sightings: dict[int, str] = {}

    @property
    def path(self) -> str:
        """The path of the project."""
        return f"/projects/{self.project}"

    def act(self, kind: str, seconds: float) -> None:
        """Count an action and the time it takes."""
        self.actions += 1
        self.by_kind[kind] += 1
        self.seconds += seconds

    def glance(self, cells: Sequence[int]) -> dict[int, str]:
        """Look at all cells of a page; returns what they seem to be."""
        self.seconds += GLANCE * len(cells)
        return {cell: self.see(cell) for cell in cells}

    def see(self, cell: int) -> str:
        """Return the class this cell seems to be of: always the same one."""
        if cell not in self._sightings:
            wrong = self._random.random() < self.errors
            others = [code for code in self._classes if code != self.truth[cell]]
            self._sightings[cell] = self._random.choice(others) if wrong else self.truth[cell]
        return self._sightings[cell]

    def open(self, url: str) -> Grid:
        """Show a page of the grid."""
        self.settle()
        return grid_of(self.browser, url)

    def settle(self) -> None:
        """Wait for the scores that know of the last label: a person is slower than a fit."""
        if sum(count >= FEWEST_LABELS for count in self._given.values()) >= FEWEST_CLASSES:
            self._waiter.wait(self._newest)

    def finish(self, job_id: int) -> None:
        """Wait for a job."""
        until(lambda: self.rest.get(f"jobs/{job_id}").json()["state"] == "done", PATIENCE, f"job {job_id} is not done")

    def label(self, cells: Iterable[int], code: str, source: str = "label") -> None:
        """Save what a key press does."""
        items = [{"cell_id": cell, "class": code} for cell in cells]
        if items:
            answer = self.post("annotations", {"action": str(uuid4()), "source": source, "items": items})
            self._newest = max(self._newest, int(answer["newest_annotation_id"]))
            self._given[code] += len(items)

    def correct(self, cells: dict[int, str], kind: str) -> None:
        """Point at each of these cells and press the key of its class."""
        for cell, code in cells.items():
            self.act(kind, POINT + READ)
            self.label([cell], code)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post to the project as its scripts do."""
        found: dict[str, Any] = self.browser.post(f"{self.path}/{path}", json=body).raise_for_status().json()
        return found
