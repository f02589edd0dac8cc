"""Read fields and whole slides in tiles, and find their cells with little memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import openslide

from workers.ml.images import MAX_PIXELS, BadImage, Pixels, decode
from workers.ml.regions import FRAME, RED_CELL_UM, Box, cut_out, find_cells, red_cell_diameter

TILE: Final = 2048
LARGEST_CELL: Final = 4
"""Diameters of a red cell that tiles overlap by, so that every cell lies whole in one of them."""
SAMPLED: Final = 9
"""Tiles from which the size of red cells is estimated."""
TISSUE: Final = 0.02
"""Share of a tile that must differ from its brightest pixels for cells to be looked for in it."""


class Field(Protocol):
    """A picture of part of a smear, of any size."""

    width: int
    height: int
    um_per_px: float | None

    def read(self, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part of the picture (height, width, 3)."""


class _Decoded:
    def __init__(self, pixels: Pixels, um_per_px: float | None = None) -> None:
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]
        self.um_per_px = um_per_px

    def read(self, left: int, top: int, width: int, height: int) -> Pixels:
        return self.pixels[top : top + height, left : left + width]


class _Slide:
    def __init__(self, slide: openslide.OpenSlide) -> None:
        self.slide = slide
        self.width, self.height = slide.dimensions
        found = slide.properties.get(openslide.PROPERTY_NAME_MPP_X)
        self.um_per_px = float(found) if found else None

    def read(self, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part; what the scanner did not scan is white."""
        part = np.asarray(self.slide.read_region((left, top), 0, (width, height)))
        return np.where(part[..., 3:] > 0, part[..., :3], np.uint8(255))


def open_field(path: Path) -> Field:
    """Open a picture: what OpenSlide reads (SVS, NDPI, MRXS, DICOM, tiled TIFF) by parts, anything else at once.

    Nothing but pixels and their size is read: labels, macro images and descriptions of a slide stay in its file.
    Raises BadImage with the reason.
    """
    try:
        if openslide.OpenSlide.detect_format(path):
            return _Slide(openslide.OpenSlide(path))
    except openslide.OpenSlideError as error:
        raise BadImage("damaged: %(error)s", error=error) from error
    if path.stat().st_size > 4 * MAX_PIXELS:
        raise BadImage("too large to be read at once, and not a slide in tiles")
    return field_of(path.read_bytes())


def field_of(data: bytes, um_per_px: float | None = None) -> Field:
    """Decode a picture of at most 50 megapixels. Raises BadImage with the reason."""
    return _Decoded(decode(data).pixels, um_per_px)


def diameter_of(field: Field) -> float:
    """Return the diameter of red cells in pixels: from the scale of the field, or estimated from some of its tiles.

    Raises BadImage where there is no scale and too few red cells to tell.
    """
    if field.um_per_px:
        return RED_CELL_UM / field.um_per_px
    tiles = [tile for tile in _tiles(field, 0) if min(tile[2:]) >= min(TILE // 4, field.width, field.height)]
    places = np.linspace(0, len(tiles) - 1, min(SAMPLED, len(tiles))).astype(int)
    parts = (field.read(*tiles[place]) for place in places)
    found = [diameter for part in parts if _holds_tissue(part) and (diameter := red_cell_diameter(part))]
    if not found:
        raise BadImage("no red cells to tell the scale by; state µm per pixel")
    return float(np.median(found))


def cells_of(
    field: Field, diameter: float | None = None, progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[Box, Pixels]]:
    """Yield the whole nucleated cells of a field and a square image of each, FRAME red cells wide.

    Cells cut by the edge of the field are left out. `progress` is called with tiles done and tiles in all.
    """
    diameter = diameter or diameter_of(field)
    overlap, side = round(LARGEST_CELL * diameter), round(FRAME * diameter)
    tiles = list(_tiles(field, overlap))
    for number, (left, top, width, height) in enumerate(tiles):
        pixels = field.read(left, top, width, height)
        for box in find_cells(pixels, diameter) if _holds_tissue(pixels) else []:
            placed = replace(
                box, left=box.left + left, right=box.right + left, top=box.top + top, bottom=box.bottom + top
            )
            if not box.cut and _is_own(placed, field, (left, top), overlap):
                yield placed, cut_out(pixels, box, side)
        if progress is not None:
            progress(number + 1, len(tiles))


def _tiles(field: Field, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield left, top, width, height of tiles that overlap to the right and below."""
    for top in range(0, field.height, TILE):
        for left in range(0, field.width, TILE):
            yield (
                left,
                top,
                min(TILE + overlap, field.width - left),
                min(TILE + overlap, field.height - top),
            )


def _is_own(box: Box, field: Field, corner: tuple[int, int], overlap: int) -> bool:
    """Say whether a cell belongs to the tile at a corner: its middle lies half an overlap inside, or at the rim."""
    inside = []
    for middle, start, limit in zip(box.center, corner, (field.width, field.height), strict=True):
        first = start + overlap / 2 if start else 0
        last = start + TILE + overlap / 2 if start + TILE < limit else limit
        inside.append(first <= middle < last)
    return all(inside)


def _holds_tissue(pixels: Pixels) -> bool:
    """Say whether there is anything but glass."""
    few = pixels[::8, ::8].min(2)
    return bool((few < 0.8 * np.percentile(few, 95)).mean() > TISSUE)
