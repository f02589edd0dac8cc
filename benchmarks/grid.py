"""The grid with very many cells, on each database, beside the budgets of the design.

`python -m benchmarks.grid [--cells 100000,1000000] [--databases sqlite,postgresql]` starts a server for each of them,
fills it with generated cells (benchmarks/generated.py), labels 500 of them over HTTP and measures, signed in as a
person: pages of 200 cells in every order and with the filters people use, similar cells, the next batch, the time from
a key press to new scores in a real Chromium, and 20 people who label at once while cells are embedded and fits run.
Times are those a client beside the server waits; a floor is what the same machine needs for what cannot be left out.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx2
import numpy as np
import typer

from benchmarks import floors
from benchmarks.generated import SHARES, Generated, generate, settled
from benchmarks.loop import Waiter
from benchmarks.memory import Memory
from benchmarks.people import PEOPLE, embedding, sign_in_people, timed, work_together
from benchmarks.tab import key_presses
from tests.live import Browser, Installation, installation
from tests.services import postgresql

LABELS = 500
FRAGMENT = {"HX-Request": "true"}
BUDGETS = {  # of DESIGN section 9, by cells; seconds
    "page": {1_000_000: 0.060},
    "label": {100_000: 0.025, 1_000_000: 0.025},
    "similar": {100_000: 0.060, 1_000_000: 0.400},
    "scores": {100_000: 1.0, 1_000_000: 4.0},
    "fit": {100_000: 0.4, 1_000_000: 3.0},
}


@dataclass
class Lab:
    """A running installation with a generated project, seen by its manager."""

    running: Installation
    browser: Browser
    rest: httpx2.Client
    generated: Generated

    @property
    def path(self) -> str:
        """The path of the project."""
        return f"/projects/{self.generated.project}"

    def get(self, query: str) -> httpx2.Response:
        """Fetch a page of the grid as its script does."""
        return self.browser.get(f"{self.path}/cells?{query}", headers=FRAGMENT).raise_for_status()

    def post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        """Post to the project."""
        return self.browser.post(f"{self.path}/{path}", json=body).raise_for_status()


@contextmanager
def laboratory(folder: Path, database: str, cells: int) -> Iterator[Lab]:
    """Start an installation on a database, and fill it."""
    with (
        postgresql() if database == "postgresql" else nullcontext("") as url,
        installation(folder / "data", database_url=url) as running,
        closing(running.browser()) as browser,
        browser.rest() as rest,
    ):
        yield Lab(running, browser, rest, generate(running, rest, cells))


def label_some(lab: Lab) -> None:
    """Label the first cells of each class, and wait until everything that follows from it is done."""
    waiter = Waiter(lab.browser, lab.generated.project)
    truth = lab.generated.truth
    items = [
        {"cell_id": int(lab.generated.cell_ids[place]), "class": code}
        for code in SHARES
        for place in np.flatnonzero(truth == code)[: LABELS // len(SHARES)]
    ]
    answer = lab.post("annotations", {"action": str(uuid4()), "items": items}).json()
    waiter.wait(answer["newest_annotation_id"])
    settled(lab.running)


def queries(lab: Lab) -> dict[str, str]:
    """Return orders and filters people use: what they are, and the query of each."""
    common = next(iter(SHARES))
    review = lab.post("reviews", {"predicted": common}).json()["url"].partition("?")[2]
    found = {
        "most uncertain": "order=uncertain",
        "most uncertain, not labelled": "order=uncertain&labelled=no",
        "most confident of a class": f"order=confident&predicted={common}",
        "most confident of it, not labelled": f"order=confident&predicted={common}&labelled=no",
        "most novel": "order=novel",
        "newest": "order=newest",
        "random, not labelled": "order=random&labelled=no",
        "labelled": "order=newest&labelled=yes",
        "labelled with a class": f"order=uncertain&class={common}",
        "a scanner": f"order=uncertain&scanner={lab.generated.scanners[0]}",
        "a slide": f"order=uncertain&slide={lab.generated.slides[0]}",
        "a review": review,
        "a review, half-way": f"{review}&place={lab.generated.truth.tolist().count(common) // 2}",
    }
    page = lab.get(found["most uncertain"]).text
    return {**found, "most uncertain, next page": f"order=uncertain&cursor={_cursor(page)}"}


def _cursor(page: str) -> str:
    return page.partition('data-next-cursor="')[2].partition('"')[0]


def pages(lab: Lab, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each kind of page, taken in turns so that a slow moment hits them all."""
    asked = queries(lab)
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(repeats):
        for name, query in asked.items():
            seconds[name].append(timed(partial(lab.get, query)))
    return {name: found[1:] for name, found in seconds.items()}  # the first one fills the memory


def similar(lab: Lab, repeats: int) -> list[float]:
    """Return the seconds of the first page of cells similar to one, another one each time."""
    some = np.random.default_rng(0).choice(lab.generated.cell_ids, repeats + 1, replace=False).tolist()
    return [timed(partial(lab.get, f"order=similar&similar={cell}")) for cell in some][1:]


def next_batches(lab: Lab, repeats: int) -> list[float]:
    """Return the seconds of choosing the next cells to label; the ranking is used up by the first few."""
    return [timed(lambda: lab.post("batches", {})) for _ in range(repeats)]


def fits(lab: Lab) -> list[float]:
    """Return the seconds that the newest fits took with scoring all cells."""
    answer = lab.rest.get(f"projects/{lab.generated.project}/classifiers", params={"limit": 20})
    return [fit["fit_seconds"] for fit in answer.raise_for_status().json()["items"]]


class Table:
    """Prints what was measured, a line each."""

    def __init__(self, title: str, cells: int) -> None:
        self.cells = cells
        print(f"\n{title}\n  {'ms':44}{'p50':>9}{'p95':>9}{'budget':>9}{'floor':>9}", flush=True)

    def row(self, name: str, seconds: Sequence[float], budget: str = "", floor: float | None = None) -> None:
        """Print a line; `budget` is a key of BUDGETS."""
        limit = BUDGETS.get(budget, {}).get(self.cells)
        p50, p95 = np.percentile(seconds, (50, 95))
        columns = [p50, p95, limit, floor]
        print(f"  {name:44}" + "".join("        -" if v is None else f"{1000 * v:9.1f}" for v in columns), flush=True)


def measure(lab: Lab, title: str, repeats: int, seconds: float) -> dict[str, float]:
    """Measure one project on one database; prints a table and returns the figures of the JSON line."""
    memory = Memory(lab.running)
    label_some(lab)
    table = Table(title, len(lab.generated.truth))
    signed_in = np.median([timed(lambda: lab.browser.get("/account")) for _ in range(repeats)])
    table.row("an empty page, signed in", [float(signed_in)])
    shown = pages(lab, repeats)
    for name, found in shown.items():
        table.row(f"page: {name}", found, "page", floors.select_page(lab.running, lab.generated))
    alike = similar(lab, repeats)
    table.row("similar cells", alike, "similar", floors.distances(lab.running))
    chosen = next_batches(lab, repeats)
    table.row("next batch", chosen, floor=float(signed_in))
    followed = key_presses(lab.browser, lab.generated, repeats)
    table.row("key press to new scores in the browser", followed, "scores", float(np.median(fits(lab))))
    table.row("of which fit and score", fits(lab), "fit")
    settled(lab.running)
    people = sign_in_people(lab.running, lab.generated.project)
    with embedding(lab.rest, lab.generated, seconds):
        crowd = work_together(people, lab.generated, seconds)
    table.row(f"label, {PEOPLE} people, cells embedded meanwhile", crowd.labels, "label", floors.commit(lab.running))
    if crowd.empty:  # nobody may have had the time in a short run
        table.row("an empty page at that time", crowd.empty)
    if crowd.pages:
        table.row("their pages after new scores", crowd.pages)
    memory.show()
    return {
        "page_p95_ms": 1000 * max(float(np.percentile(found, 95)) for found in shown.values()),
        "label_p95_ms": 1000 * float(np.percentile(crowd.labels, 95)),
        "similar_ms": 1000 * float(np.median(alike)),
        "next_batch_ms": 1000 * float(np.median(chosen)),
        "label_to_scores_p95_s": float(np.percentile(followed, 95)),
    }


def main(
    cells: Annotated[str, typer.Option(help="Sizes of the project, separated by commas.")] = "100000",
    databases: Annotated[str, typer.Option(help="sqlite, postgresql or both.")] = "sqlite,postgresql",
    repeats: Annotated[int, typer.Option(help="Measurements of each kind.")] = 40,
    seconds: Annotated[float, typer.Option(help="How long people label at once.")] = 30,
) -> None:
    """Print the figures of the grid."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for database in databases.split(","):
        for count in map(int, cells.split(",")):
            with tempfile.TemporaryDirectory() as folder, laboratory(Path(folder), database, count) as lab:
                figures = measure(lab, f"{count:,} cells on {database}", repeats, seconds)
            rounded = {name: round(value, 2) for name, value in figures.items()}
            found.setdefault(database, {})[str(count)] = rounded
    print(json.dumps(found))


if __name__ == "__main__":
    typer.run(main)
