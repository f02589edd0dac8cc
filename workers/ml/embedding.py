"""Image files to vectors: decoding overlaps computing; a bad file never stops its neighbours."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from workers.ml.images import BadImage, Pixels, decode

BATCH: Final = 8
BATCH_GPU: Final = 256


class VectorEncoder(Protocol):
    """What `embed` needs of an encoder: workers.ml.encoders.Encoder, or a fake in tests."""

    @property
    def name(self) -> str:
        """Name for people."""

    @property
    def sha256(self) -> str:
        """Identity: embeddings are kept by it."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def prepare(self, pixels: Pixels) -> Any:
        """Bring one image to the network's input size."""

    def encode(self, prepared: Sequence[Any]) -> npt.NDArray[np.float32]:
        """Encode prepared images: (n, dim)."""


@dataclass(frozen=True)
class Embedded:
    """`vectors` is float16 (n, dim); a row whose index is in `errors` (index -> reason) is NaN."""

    vectors: npt.NDArray[np.float16]
    errors: dict[int, str]


def embed(
    encoder: VectorEncoder,
    blobs: Sequence[bytes],
    batch: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Embedded:
    """Embed image files; the vector of an image does not depend on the others beside it.

    `blobs` is only indexed, once each, a batch a core at a time, so it may read lazily if it is
    thread-safe.
    `progress` is called after every batch with the number of files done, and may raise to stop.
    """
    if batch is None:
        device = getattr(encoder, "device", None)
        batch = BATCH_GPU if device is not None and device.type == "cuda" else BATCH
    vectors = np.full((len(blobs), encoder.dim), np.nan, np.float16)
    errors: dict[int, str] = {}

    def embed_batch(start: int) -> int:
        stop = min(start + batch, len(blobs))
        images = _prepared(encoder, blobs, range(start, stop), errors)
        if images:
            vectors[list(images)] = encoder.encode(list(images.values()))
        return stop

    # A batch a core, each on one thread: while one decodes another computes, and none waits for a
    # core that is busy elsewhere, as the threads of one big operation would.
    pool = ThreadPoolExecutor(os.cpu_count(), "embed", partial(torch.set_num_threads, 1))
    try:
        for done in pool.map(embed_batch, range(0, len(blobs), batch)):
            if progress is not None:
                progress(done)
    finally:
        pool.shutdown(cancel_futures=True)
    for row in np.flatnonzero(~np.isfinite(vectors).all(1)):
        errors.setdefault(int(row), "the encoder gave no finite numbers for it")
    return Embedded(vectors, errors)


def _prepared(encoder: VectorEncoder, blobs: Sequence[bytes], indices: range, errors: dict[int, str]) -> dict[int, Any]:
    """Decoded and resized images by index; reasons for the others go to `errors`."""
    images: dict[int, Any] = {}
    for index in indices:
        try:
            images[index] = encoder.prepare(decode(blobs[index]).pixels)
        except BadImage as error:
            errors[index] = error.reason
    return images
