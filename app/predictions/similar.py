"""The cells that look most like one cell, by the distance of their embeddings."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from app.cells.index import Columns
from app.cells.matrix import Matrix, matrix_of
from app.errors import NotFound
from app.kept import Kept
from app.language import _
from app.models import Encoder, Project

CHUNK = 4096  # rows compared at a time: few enough for the cache of a processor
KEEP = np.int32(-0x70002000)  # 0x8FFFE000: the sign, and what came from the half
SCALE = np.float32(2.0**112)
KEPT = 8  # answers in memory: turning pages does not compare with a million cells again

Distances = npt.NDArray[np.float32]

_kept: Kept[tuple[str, int, int, int], Distances] = Kept(KEPT)


def distances(session: Session, project: Project, columns: Columns, cell_id: int) -> Distances:
    """Return the Euclidean distance of every cell's embedding to that of `cell_id` (n,), infinite where there is none.

    Raises NotFound for a cell that is not of this project or has no embedding yet.
    """
    place = int(columns.places([cell_id])[0])
    if place < 0:
        raise NotFound(_("similar: this project has no cell %(cell_id)s.", cell_id=cell_id))
    matrix = matrix_of(session.get_one(Encoder, project.encoder_id))
    key = (matrix.encoder_sha256, cell_id, len(matrix.image_ids), len(columns))

    def compute() -> Distances:
        rows = matrix.rows(columns.image_ids)
        if rows[place] < 0:
            raise NotFound(_("similar: cell %(cell_id)s has not been prepared yet.", cell_id=cell_id))
        to_rows = np.sqrt(_squared(matrix, matrix.vectors[rows[place]].astype(np.float32)))
        return np.where(rows >= 0, to_rows[rows], np.float32(np.inf))

    return _kept.get(key, compute)


def _squared(matrix: Matrix, vector: npt.NDArray[np.float32]) -> Distances:
    """Squared distance of all rows of a matrix to a vector, in chunks that stay in the processor's cache."""
    found = np.empty(len(matrix.vectors), np.float32)

    def compare(start: int) -> None:
        rows = slice(start, start + CHUNK)
        away = widened(matrix.vectors[rows])
        away -= vector
        np.einsum("nd,nd->n", away, away, out=found[rows])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compare, range(0, len(found), CHUNK)))
    return found


def widened(values: npt.NDArray[np.float16]) -> Distances:
    """Return finite halves as floats; numpy converts one at a time where this takes whole registers.

    A half is sign, 5 bits of exponent, 10 of fraction; a float is sign, 8 bits, 23. Shifted by the 13 bits more of
    fraction, and without the copies of the sign that fill the exponent, it is too small by the difference of the two
    biases, 127 - 15.
    """
    bits = values.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= KEEP
    wide = bits.view(np.float32)
    wide *= SCALE
    return wide
