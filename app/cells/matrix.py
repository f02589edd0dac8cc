"""The embeddings of an encoder as one memory-mapped matrix, derived from the rows and extended by what is new.

Several processes of one machine share the folder, and it can be deleted at any time. It is believed only as long as its
last vector is the one in the database: after a restore, or beside another database, the next use builds it again.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from app.config import get_settings
from app.db import reading
from app.models import Embedding, Encoder

CHUNK = 50_000  # rows read from the database at a time

Vectors = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Matrix:
    """All vectors of one encoder at one moment: `vectors` (n, dim) on disk, `image_ids` (n,) and their order."""

    encoder_sha256: str
    image_ids: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    vectors: Vectors

    def rows(self, image_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the row of each image, -1 where it has no embedding."""
        if not len(self.image_ids):
            return np.full(len(image_ids), -1, np.int64)
        place = np.searchsorted(self.image_ids, image_ids, sorter=self.order)
        row = self.order[np.minimum(place, len(self.order) - 1)]
        return np.where(self.image_ids[row] == image_ids, row, -1)


class MatrixFolder:
    """The files of one matrix, and what this process remembers of them."""

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        # Not the row itself: this object outlives the session that read it.
        self._encoder_id, self._sha256, self._dim = encoder.id, encoder.sha256, encoder.dim
        self._folder = folder
        self._build = ""  # changes when the files are built again
        self._newest = 0  # embedding id
        self._image_ids = self._order = np.empty(0, np.int64)

    def refresh(self) -> Matrix:
        """Take in the embeddings that were stored since the last call of any process."""
        with self._locked(), reading() as session:  # in this order: nobody has taken in what we cannot see
            self._load(session)
            # The sum keeps SQLite from reading all rows of the encoder by its index: those that are new are few.
            mine = Embedding.encoder_id + 0 == self._encoder_id
            query = (
                select(Embedding.id, Embedding.image_id, Embedding.vector)
                .where(mine, Embedding.id > self._newest)
                .where(Embedding.vector.is_not(None))
                .order_by(Embedding.id)
            )
            for part in session.execute(query.execution_options(yield_per=CHUNK)).partitions():
                self._append(part)
            if len(self._order) != len(self._image_ids):
                self._order = np.argsort(self._image_ids, kind="stable")
            shape = (len(self._image_ids), self._dim)
            # Opened here, so that it stays what it is when the files are deleted or built again.
            vectors = (
                np.memmap(self._vectors, np.float16, "r", shape=shape) if shape[0] else np.empty(shape, np.float16)
            )
        return Matrix(self._sha256, self._image_ids, self._order, vectors)

    @property
    def _images(self) -> Path:
        return self._folder / "images.i64"

    @property
    def _vectors(self) -> Path:
        return self._folder / "vectors.f16"

    @property
    def _state(self) -> Path:
        return self._folder / "state.json"

    def _load(self, session: Session) -> None:
        """Take over what another process, or an earlier life of this one, has written; begin anew if it is not ours."""
        try:
            state = json.loads(self._state.read_text())
            if not self._is_true(session, state):
                state = None
        except (FileNotFoundError, ValueError):  # never written, deleted, or emptied by a power cut
            state = None
        if state is None:
            state = {"build": secrets.token_hex(8), "rows": 0, "newest": 0}
            for path in (self._images, self._vectors):  # not overwritten: others may have them mapped
                path.unlink(missing_ok=True)
        if (state["build"], state["rows"]) != (self._build, len(self._image_ids)):
            self._image_ids = np.fromfile(self._images, np.int64, state["rows"]) if state["rows"] else self._order[:0]
            self._order = self._order[:0]
        self._build, self._newest = state["build"], state["newest"]

    def _is_true(self, session: Session, state: dict[str, Any]) -> bool:
        """Compare the last row of the files with the database, which only ever appends."""
        if state.keys() != {"build", "rows", "newest"}:
            return False
        mine = (Embedding.id == state["newest"]) & (Embedding.encoder_id == self._encoder_id)
        row = session.execute(select(Embedding.image_id, Embedding.vector).where(mine)).one_or_none()
        last, width = state["rows"] - 1, 2 * self._dim
        return (
            row is not None
            and _bytes_at(self._images, 8 * last, 8) == np.int64(row.image_id).tobytes()
            and _bytes_at(self._vectors, width * last, width) == row.vector
        )

    def _append(self, new: Sequence[Row[int, int, bytes | None]]) -> None:
        """Write new rows behind the old ones; they count only once the state file names them."""
        ids = np.array([row.image_id for row in new], np.int64)
        rows = len(self._image_ids)
        _write_at(self._images, 8 * rows, ids.tobytes())
        _write_at(self._vectors, 2 * self._dim * rows, b"".join(row.vector or b"" for row in new))
        self._image_ids = np.concatenate([self._image_ids, ids])
        self._newest = new[-1].id
        state = {"build": self._build, "rows": len(self._image_ids), "newest": self._newest}
        part = self._state.with_suffix(".part")
        part.write_text(json.dumps(state))
        part.replace(self._state)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _bytes_at(path: Path, place: int, count: int) -> bytes:
    """Read a piece of a file. Raises FileNotFoundError; returns less than `count` bytes at its end."""
    with path.open("rb") as file:
        file.seek(place)
        return file.read(count)


def _write_at(path: Path, place: int, data: bytes) -> None:
    """Write a piece of a file and wait for the disk: the state file, written next, must not be ahead of it."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(place)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


_folders: dict[tuple[Path, int], MatrixFolder] = {}


def matrix_of(encoder: Encoder) -> Matrix:
    """Return the matrix of an encoder, up to date."""
    path = get_settings().data_dir.resolve() / "cache" / "matrix" / encoder.sha256[:16]
    return _folders.setdefault((path, encoder.id), MatrixFolder(encoder, path)).refresh()
