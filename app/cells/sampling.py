"""Draw cells at random, always the same ones: by their ids, so nothing has to be stored."""

import zlib

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def scattered(cell_ids: Ids, purpose: str) -> npt.NDArray[np.float64]:
    """Give every cell (n,) a number from 0 to 1 that looks random, is different for every purpose, and never changes.

    The splitmix64 finaliser (Steele et al. 2014, Fast splittable pseudorandom number generators).
    """
    x = (cell_ids.astype(np.uint64) + np.uint64(zlib.crc32(purpose.encode()) << 32)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))) / 2.0**64


def drawn(cell_ids: Ids, share: float, purpose: str) -> npt.NDArray[np.bool_]:
    """Return which cells (n,) are among a share of them; a larger share holds those of a smaller one."""
    return scattered(cell_ids, purpose) < share
