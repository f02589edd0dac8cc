"""Slides submitted over a line that drops: python -m benchmarks.slides [--slides 200] [--cells 200] [--carriers LIST].

Eight clients, each the client people copy (static/client), submit slides of generated cells at once, while one request
in twenty is cut: half of those while it is being sent, half before its answer is read. A classifier reports for the
scanner, so a result is the slide's differential. Afterwards every slide is read back and compared with what was sent,
on the embedded default (SQLite) and on Redis with PostgreSQL and Celery workers.
"""

import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx2
import numpy as np
import typer

from benchmarks.generated import settled
from benchmarks.loop import every
from tests.live import Installation, client_module
from tests.services import Redis, postgresql
from workers.ml.rendering import CLASSES, cheap_cells, demo_cells

CLIENTS = 8
DROPPED = 0.05
TAUGHT = 12  # labelled cells of each class
CARRIERS = ("embedded", "celery")
module = client_module()


class Dropping(module.Client):  # type: ignore[misc, name-defined]
    """Loses some of its connections."""

    def __init__(self, server: str, token: str, seed: int) -> None:
        super().__init__(server, token)
        self.fate, self.dropped = random.Random(seed), 0

    def exchange(
        self, method: str, path: str, data: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request once, or lose it."""
        if self.fate.random() >= DROPPED:
            answer: tuple[int, Mapping[str, str], bytes] = super().exchange(method, path, data, headers)
            return answer
        self.dropped += 1
        with closing(self.connect()) as line:
            if self.fate.random() < 0.5:
                line.putrequest(method, path)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    line.putheader(name, value)
                line.endheaders()
                line.send(data[: len(data) // 2])
            else:
                line.request(method, path, data, dict(headers))
                time.sleep(self.fate.random() * 0.2)
        raise ConnectionResetError("the line dropped")


@dataclass
class Lab:
    """A running installation with a project whose scanner has a reporting classifier."""

    running: Installation
    rest: httpx2.Client
    token: str
    project: int
    scanner: int


@contextmanager
def laboratory(folder: Path, carrier: str) -> Iterator[Lab]:
    """Start an installation on a carrier and teach it."""
    with ExitStack() as stack:
        running = Installation(folder / "data")
        if carrier == "celery":
            redis = Redis(folder)
            stack.callback(redis.kill)
            running.broker_url = redis.start().url
            running.database_url = stack.enter_context(postgresql())
        stack.callback(running.stop)
        running.start()
        if carrier == "celery":
            running.start_celery()
        browser = stack.enter_context(closing(running.browser()))
        rest = stack.enter_context(closing(browser.rest()))
        token = rest.headers["Authorization"].removeprefix("Bearer ")
        project, scanner = teach(running, rest, module.Client(running.url, token), folder / "taught")
        yield Lab(running, rest, token, project, scanner)


def teach(running: Installation, rest: httpx2.Client, client: Any, folder: Path) -> tuple[int, int]:
    """Label a slide and activate the classifier that follows; returns project and scanner."""
    classes = [{"code": code, "name": code} for code in CLASSES]
    project = client.call("POST", "/projects", {"name": "Blood", "classes": classes})["id"]
    scanner = client.call("POST", f"/projects/{project}/scanners", {"name": "Generated A"})["id"]
    folder.mkdir()
    truth = {}
    for name, code, data in demo_cells(TAUGHT * len(CLASSES), "A", 1, dict.fromkeys(CLASSES, 1.0)):
        (folder / name).write_bytes(data)
        truth[name] = code
    slide = client.submit(project, scanner, "taught", sorted(folder.iterdir()))["id"]
    items = [{"cell_id": cell["id"], "class": truth[cell["name"]]} for cell in every(rest, f"slides/{slide}/cells")]
    client.call("POST", f"/projects/{project}/annotations", {"items": items})
    settled(running)
    newest = client.call("GET", f"/projects/{project}/classifiers?order=newest&limit=1")["items"][0]
    client.call("POST", f"/classifiers/{newest['id']}/activate", {"scanner_id": scanner})
    settled(running)
    return project, scanner


def draw(folder: Path, slides: int, cells: int) -> list[Path]:
    """Write the images of each slide into a folder of its own."""
    found = [folder / f"slide-{number:04}" for number in range(slides)]
    drawn = cheap_cells(slides * cells, "A", 0)
    for path in found:
        path.mkdir(parents=True)
        for name, _, data in (next(drawn) for _ in range(cells)):
            (path / name).write_bytes(data)
    return found


@dataclass
class Submitted:
    """What became of the slides: their ids by folder, the seconds from complete to result, connections lost."""

    ids: dict[Path, int]
    seconds: list[float]
    dropped: int
    minutes: float


def submit(lab: Lab, folders: list[Path]) -> Submitted:
    """Submit all slides by eight clients at once; each waits for the result of one before it sends the next."""
    clients = [Dropping(lab.running.url, lab.token, seed) for seed in range(CLIENTS)]
    free, ids, seconds, lock = list(clients), {}, [], threading.Lock()

    def one(folder: Path) -> None:
        with lock:
            client = free.pop()
        slide = client.create_slide(lab.project, lab.scanner, folder.name)
        client.send(slide, sorted(folder.iterdir()))
        client.complete(slide)
        completed = time.perf_counter()
        found = client.wait(slide)
        if found["state"] != "needs_review" or found["differential"] is None:
            raise RuntimeError(f"{folder.name}: {found['state']}, {found['states']}")
        with lock:
            ids[folder] = slide
            seconds.append(time.perf_counter() - completed)
            free.append(client)

    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in pool.map(one, folders):
            assert done is None
    return Submitted(ids, seconds, sum(each.dropped for each in clients), (time.perf_counter() - start) / 60)


def compared(lab: Lab, ids: dict[Path, int]) -> tuple[int, int]:
    """Return how many cells are lost and how many are there twice; a slide too much counts with all its cells."""
    lost = doubled = 0
    for folder, slide in ids.items():
        sent = {path.name for path in folder.iterdir()}
        there = Counter(cell["name"] for cell in every(lab.rest, f"slides/{slide}/cells"))
        lost += len(sent - there.keys())
        doubled += sum(count - 1 for count in there.values()) + len(there.keys() - sent)
    known = set(ids.values())
    for slide in every(lab.rest, f"projects/{lab.project}/slides"):
        if slide["id"] not in known and slide["accession"] != "taught":
            doubled += sum(1 for _ in every(lab.rest, f"slides/{slide['id']}/cells"))
    return lost, doubled


def measure(carrier: str, slides: int, cells: int) -> dict[str, float]:
    """Submit slides on one carrier, print what came of it."""
    with tempfile.TemporaryDirectory() as name, laboratory(Path(name), carrier) as lab:
        folders = draw(Path(name) / "slides", slides, cells)
        done = submit(lab, folders)
        lost, doubled = compared(lab, done.ids)
    figures = {
        "slides_per_min": round(slides / done.minutes, 2),
        "complete_to_result_p95_s": round(float(np.percentile(done.seconds, 95)), 2),
        "lost": lost,
        "doubled": doubled,
    }
    print(f"{carrier}: {slides} slides of {cells} cells, {CLIENTS} clients, {done.dropped} connections dropped")
    print(f"  slides per minute            {figures['slides_per_min']:8.1f}")
    half, most = np.percentile(done.seconds, [50, 95])
    print(f"  complete to result, p50, p95 {half:8.2f} {most:8.2f} s")
    print(f"  cells lost, doubled          {lost:8} {doubled:8}", flush=True)
    return figures


def main(
    slides: Annotated[int, typer.Option(help="Slides that are submitted.")] = 200,
    cells: Annotated[int, typer.Option(help="Cells of each.")] = 200,
    carriers: Annotated[str, typer.Option(help="embedded, celery, or both with a comma.")] = ",".join(CARRIERS),
) -> None:
    """Submit slides on each carrier over a line that drops."""
    print(json.dumps({carrier: measure(carrier, slides, cells) for carrier in carriers.split(",")}))


if __name__ == "__main__":
    typer.run(main)
