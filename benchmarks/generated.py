"""A project of as many cells as one likes, written straight into the tables: its size is what matters.

Database, storage and score tables are those of a real project. Embeddings are drawn, not computed, and a few pictures
stand for all cells, each under as many names as there are cells.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.engine import Engine

from app.db import make_engine, now
from app.models import Cell, Embedding, Image, Job, Project
from app.storage import LocalStorage
from tests.live import Installation, until
from workers.ml.rendering import cheap_cells

SHARES = {
    "NGS": 0.56, "LYT": 0.26, "MON": 0.07, "NGB": 0.04, "EOS": 0.03, "BLA": 0.02, "EBO": 0.015, "BAS": 0.005,
}  # fmt: skip
KEYS = dict(zip(SHARES, "nlmgebor", strict=True))
SCANNERS, SLIDES = 3, 200
SPREAD = 0.3  # of the class means, where cells scatter by 1: about as hard as real cells
PICTURES = 64
CHUNK = 50_000  # rows written at a time
PATIENCE = 300  # seconds

Rows = list[dict[str, Any]]


@dataclass
class Generated:
    """A project on a running installation; `truth` (n,) is the class of each cell, in the order of their ids."""

    project: int
    slides: list[int]
    scanners: list[int]
    cell_ids: npt.NDArray[np.int64]
    truth: npt.NDArray[np.str_]

    def code(self, cell_id: int) -> str:
        """Return the class of a cell."""
        return str(self.truth[np.searchsorted(self.cell_ids, cell_id)])


def engine_of(running: Installation) -> Engine:
    """Return the database of an installation, for what no user can do: reading and writing past the server."""
    return make_engine(running.database_url or f"sqlite:///{running.data.resolve() / 'fiftycells.db'}")


def generate(running: Installation, rest: httpx2.Client, cells: int, seed: int = 0) -> Generated:
    """Make a project of eight unbalanced classes, three scanners and 200 slides, full of cells without labels."""
    classes = [{"code": code, "name": code, "key": KEYS[code]} for code in SHARES]
    project = _post(rest, "projects", {"name": f"{cells:,} cells", "classes": classes})
    scanners = [_post(rest, f"projects/{project}/scanners", {"name": f"Scanner {n}"}) for n in range(SCANNERS)]
    slides = [
        _post(rest, f"projects/{project}/slides", {"accession": f"S{n:04}", "scanner_id": scanners[n % SCANNERS]})
        for n in range(SLIDES)
    ]
    rng = np.random.default_rng(seed)
    truth = rng.choice(list(SHARES), cells, p=list(SHARES.values()))
    engine = engine_of(running)
    with engine.begin() as connection:
        encoder = connection.scalar(select(Project.encoder_id).where(Project.id == project))
        ids = [
            part
            for start, names in _pictures(running, cells)
            for part in _write(
                connection,
                names,
                _vectors(rng, truth[start : start + len(names)]),
                {"project_id": project, "encoder_id": encoder, "slides": slides, "scanners": scanners},
            )
        ]
    engine.dispose()
    return Generated(project, slides, scanners, np.array(ids, np.int64), truth)


def _post(rest: httpx2.Client, path: str, body: dict[str, Any]) -> int:
    return int(rest.post(path, json=body).raise_for_status().json()["id"])


def _pictures(running: Installation, cells: int) -> Iterator[tuple[int, list[str]]]:
    """Yield where a chunk of cells begins, and the sha256 each has; a file of that name is in storage."""
    storage = LocalStorage(running.data.resolve() / "files")
    files = []
    for number, (_, _, data) in enumerate(cheap_cells(max(PICTURES, cells // 50_000), "A", 0)):
        files.append(storage.temporary / f"picture-{number}")
        files[-1].write_bytes(data)
    for start in range(0, cells, CHUNK):
        names = [secrets.token_hex(32) for _ in range(min(CHUNK, cells - start))]
        for number, name in enumerate(names):
            path = storage.path(f"images/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(files[number % len(files)], path)
        yield start, names


def _vectors(rng: np.random.Generator, truth: npt.NDArray[np.str_]) -> npt.NDArray[np.float16]:
    """Draw the embedding (d,) of each cell around the mean of its class."""
    means = np.random.default_rng(0).normal(0, SPREAD, (len(SHARES), 192)).astype(np.float32)
    place = np.array([list(SHARES).index(code) for code in truth])
    return (means[place] + rng.standard_normal((len(truth), 192), np.float32)).astype("<f2")


def _write(connection: Connection, names: list[str], vectors: npt.NDArray[np.float16], of: dict[str, Any]) -> list[int]:
    """Write images, cells and embeddings; returns the cell ids."""
    moment, at = now(), range(len(names))
    look = {"format": "JPEG", "width": 112, "height": 112, "size": 4000, "created_at": moment}
    images = _insert(connection, Image, [{"sha256": name, **look} for name in names])
    shared = {"project_id": of["project_id"], "created_at": moment}
    cells = [
        {
            **shared,
            "slide_id": of["slides"][n % SLIDES],
            "scanner_id": of["scanners"][n % SLIDES % SCANNERS],
            "image_id": images[n],
            "name": f"cell-{images[n]}.jpg",
        }
        for n in at
    ]
    embedded = [{"encoder_id": of["encoder_id"], "image_id": images[n], "vector": vectors[n].tobytes()} for n in at]
    connection.execute(insert(Embedding), embedded)
    return _insert(connection, Cell, cells)


def _insert(connection: Connection, table: Any, rows: Rows) -> list[int]:
    """Insert rows and return their ids. Nobody else writes meanwhile, so those are the newest."""
    connection.execute(insert(table), rows)
    return list(connection.scalars(select(table.id).order_by(table.id.desc()).limit(len(rows))))[::-1]


@contextmanager
def reading(running: Installation) -> Iterator[Connection]:
    """Read the database of an installation; nobody waits for it."""
    engine = engine_of(running)
    with engine.execution_options(postgresql_readonly=True).connect() as connection:
        yield connection
    engine.dispose()


def settled(running: Installation) -> None:
    """Wait until no job waits or runs."""
    busy = select(func.count()).where(Job.state.in_(("queued", "running")))

    def idle() -> bool:
        with reading(running) as connection:
            return connection.scalar(busy) == 0

    until(idle, PATIENCE, "the jobs are not done")
