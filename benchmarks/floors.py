"""What the same machine needs at least for what the grid does: the bare statement, the bare arithmetic."""

import time
from collections.abc import Callable

import numpy as np
import torch
from sqlalchemy import select, update

from app.models import Cell, Slide
from benchmarks.generated import Generated, engine_of, reading
from tests.live import Installation

REPEATS = 20
PAGE = 200
DIM = 192
CHUNK = 16_384


def _median(work: Callable[[], object]) -> float:
    """Return the median seconds of a piece of work."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def select_page(running: Installation, generated: Generated) -> float:
    """Return the seconds of reading 200 random cells with their slides by id."""
    ids = np.random.default_rng(0).choice(generated.cell_ids, PAGE).tolist()
    query = select(Cell.id, Cell.name, Slide.accession).join(Slide).where(Cell.id.in_(ids))
    with reading(running) as connection:
        return _median(lambda: connection.execute(query).all())


def commit(running: Installation) -> float:
    """Return the seconds of changing one row and having it safe on the disk."""
    engine = engine_of(running)

    def change() -> None:
        with engine.begin() as connection:
            connection.execute(update(Cell).where(Cell.id == 1).values(name=Cell.name))

    seconds = _median(change)
    engine.dispose()
    return seconds


def distances(running: Installation) -> float:
    """Return the seconds torch needs on all cores for the distances of all embeddings to one."""
    (path,) = (running.data / "cache" / "matrix").glob("*/vectors.f16")
    vectors = np.memmap(path, np.float16, "c").reshape(-1, DIM)
    one = torch.from_numpy(np.array(vectors[:1])).float()

    def compare() -> None:
        for start in range(0, len(vectors), CHUNK):
            torch.cdist(torch.from_numpy(vectors[start : start + CHUNK]).float(), one)

    return _median(compare)
