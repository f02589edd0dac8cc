"""Images decoded once, kept in one memory-mapped file, so that training never waits for a decoder."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from workers.ml.images import BadImage, decode, white_balanced

_CHUNK: Final = 256
Frames = npt.NDArray[np.uint8]
"""(n, 3, side, side), the largest centre square of each image."""


class Image(Protocol):
    """An image file by name, read when it is needed."""

    @property
    def name(self) -> str:
        """Name for messages and for the identity of the data."""

    def read(self) -> bytes:
        """Return the file's bytes."""


def prepare(
    folder: Path,
    images: Sequence[Image],
    side: int,
    white: float | None = None,
    report: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[Frames, dict[str, str]]:
    """Return frames of all readable images, and the reasons for the others by name.

    They are kept in `folder` and reused as long as names, `side` and `white` (that of EncoderSpec) are the same.
    `report` is called with the number of images done and of all.
    """
    names = [image.name for image in images]
    identity = hashlib.sha256(json.dumps([side, white, names]).encode()).hexdigest()
    index, data = folder / "frames.json", folder / "frames.npy"
    if index.is_file():
        known = json.loads(index.read_text())
        if known["identity"] == identity:
            return np.load(data, mmap_mode="r"), known["refused"]
        index.unlink()
    frames = np.lib.format.open_memmap(data, "w+", np.uint8, (len(images), 3, side, side))
    refused: dict[str, str] = {}
    kept = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            for image, frame in zip(chunk, pool.map(lambda image: _frame(image, side, white), chunk), strict=True):
                if isinstance(frame, str):
                    refused[image.name] = frame
                else:
                    frames[kept] = frame
                    kept += 1
            report(start + len(chunk), len(images))
    frames.flush()
    if refused:
        _shorten(data, kept)
    # The index is written last: without it the frames are not believed.
    index.write_text(json.dumps({"identity": identity, "refused": refused}))
    return np.load(data, mmap_mode="r"), refused


def _frame(image: Image, side: int, white: float | None) -> npt.NDArray[np.uint8] | str:
    """Centre square of `side` pixels, or the reason why there is none."""
    try:
        pixels = decode(image.read()).pixels
    except BadImage as error:
        return error.reason
    if white is not None:
        pixels = white_balanced(pixels, white)
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    square = torch.from_numpy(pixels[top : top + shorter, left : left + shorter]).permute(2, 0, 1)[None]
    return functional.interpolate(square, (side, side), mode="bilinear", antialias=True)[0].numpy()


def _shorten(data: Path, kept: int) -> None:
    """Keep the first `kept` frames of the file only."""
    frames = np.load(data, mmap_mode="r")
    shorter = data.with_suffix(".part")
    target = np.lib.format.open_memmap(shorter, "w+", np.uint8, (kept, *frames.shape[1:]))
    for start in range(0, kept, _CHUNK):
        target[start : start + _CHUNK] = frames[start : min(start + _CHUNK, kept)]
    target.flush()
    shorter.replace(data)
