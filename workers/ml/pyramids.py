"""Write a picture of any size as tiles at halved and halved sizes, for viewers that fetch only what they show.

The file is a pyramidal TIFF with JPEG tiles, as OpenSlide reads it. It holds pixels and their scale, nothing else.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from PIL import Image
from tifffile import TiffWriter

from workers.ml.field_files import Field

TILE: Final = 256
BLOCK: Final = 2048
"""Pixels read at a time, which make whole tiles of the largest BLOCK_LEVELS levels."""
BLOCK_LEVELS: Final = 4
QUALITY: Final = 90
Progress = Callable[[int, int], None]


@dataclass
class _Level:
    """One size of the picture: where in the spool the JPEG of each tile lies, by (row, column)."""

    width: int
    height: int
    tiles: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)


def write_pyramid(picture: Field, path: Path, progress: Progress | None = None) -> None:
    """Write a pyramid of a picture to `path`; a 16th of its sides is held in memory, the rest passes through.

    The same pixels give the same bytes. `progress` is called with blocks done and blocks in all.
    """
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        levels = _levels(picture.width, picture.height)
        _spool_tiles(picture, levels, spool, progress)
        with TiffWriter(path, bigtiff=True) as file:
            for number, level in enumerate(levels):
                scale = 10_000 / picture.um_per_px / 2**number if picture.um_per_px else None
                options: dict[str, Any] = {"subfiletype": int(number > 0), "software": False, "metadata": None}
                if scale:
                    options |= {"resolution": (scale, scale), "resolutionunit": "CENTIMETER"}
                file.write(
                    _stored(spool, level), shape=(level.height, level.width, 3), dtype=np.uint8, tile=(TILE, TILE),
                    photometric="ycbcr", subsampling=(2, 2), compression="jpeg", **options,
                )  # fmt: skip


def _levels(width: int, height: int) -> list[_Level]:
    """Return the levels from the full size down to one that is a single tile."""
    levels = [_Level(width, height)]
    while max(levels[-1].width, levels[-1].height) > TILE:
        levels.append(_Level(-(-levels[-1].width // 2), -(-levels[-1].height // 2)))
    return levels


def _spool_tiles(picture: Field, levels: list[_Level], spool: IO[bytes], progress: Progress | None) -> None:
    overview = Image.new("RGB", (-(-picture.width // 2**BLOCK_LEVELS), -(-picture.height // 2**BLOCK_LEVELS)))
    blocks = [(left, top) for top in range(0, picture.height, BLOCK) for left in range(0, picture.width, BLOCK)]
    for number, (left, top) in enumerate(blocks, 1):
        width, height = min(BLOCK, picture.width - left), min(BLOCK, picture.height - top)
        image = Image.fromarray(picture.read(left, top, width, height))
        for depth in range(BLOCK_LEVELS):
            if depth < len(levels):
                _cut(image, levels[depth], (left >> depth, top >> depth), spool)
            image = image.reduce(2)
        overview.paste(image, (left >> BLOCK_LEVELS, top >> BLOCK_LEVELS))
        if progress is not None:
            progress(number, len(blocks))
    for level in levels[BLOCK_LEVELS:]:
        _cut(overview, level, (0, 0), spool)
        overview = overview.reduce(2)


def _cut(image: Image.Image, level: _Level, corner: tuple[int, int], spool: IO[bytes]) -> None:
    """Append the tiles of an image, whose corner lies at a tile's, to the spool; what is beyond the edge is white."""
    for top in range(0, image.height, TILE):
        for left in range(0, image.width, TILE):
            tile = image.crop((left, top, min(left + TILE, image.width), min(top + TILE, image.height)))
            if tile.size != (TILE, TILE):
                whole = Image.new("RGB", (TILE, TILE), "white")
                whole.paste(tile)
                tile = whole
            buffer = BytesIO()
            tile.save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0")
            place = ((corner[1] + top) // TILE, (corner[0] + left) // TILE)
            level.tiles[place] = (spool.tell(), buffer.tell())
            spool.write(buffer.getbuffer())


def _stored(spool: IO[bytes], level: _Level) -> Iterator[bytes]:
    for place in sorted(level.tiles):
        offset, size = level.tiles[place]
        spool.seek(offset)
        yield spool.read(size)
