"""Named stand-ins for what is slow or outside: used only where the real thing is not the subject."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from workers.ml.images import Pixels

# Real Argon2id, as weak as it can be: a test signs in within a millisecond.
CHEAP_HASHER = PasswordHash((Argon2Hasher(memory_cost=8, time_cost=1, parallelism=1),))


class FakeEncoder:
    """Encoder of 8 numbers, instant: mean colour and contrast of the cell and of its surroundings."""

    name = "fake"
    sha256 = hashlib.sha256(b"fake encoder").hexdigest()
    dim = 8
    card: dict[str, Any] = {"licence": "Apache-2.0", "data": "none", "images_seen": 0}  # noqa: RUF012

    def prepare(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        height, width = pixels.shape[:2]
        middle = pixels[height // 4 : -(height // 4), width // 4 : -(width // 4)]
        parts = [
            middle.mean((0, 1)),
            pixels.mean((0, 1)),
            [middle.std(), pixels.std()],
        ]
        return np.concatenate(parts).astype(np.float32) / np.float32(32)

    def encode(self, prepared: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        return np.stack(prepared)
