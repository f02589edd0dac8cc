"""Find the cells of fields and whole slides, tile by tile."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from workers.ml.field_files import Field
from workers.ml.images import BadImage, Pixels
from workers.ml.regions import FRAME, RED_CELL_UM, Box, cut_out, find_cells, red_cell_diameter

TILE: Final = 2048
LARGEST_CELL: Final = 4
"""Diameters of a red cell that tiles overlap by, so that every cell lies whole in one of them."""
SAMPLED: Final = 9
"""Tiles from which the size of red cells is estimated."""
HALF: Final = 0.55
"""Share of the frame's side that a cell fills which has to tell its scale by itself."""
TISSUE: Final = 0.02
"""Share of a tile that must differ from its brightest pixels for cells to be looked for in it."""

Tile = tuple[int, int, int, int]
"""Left, top, width, height in pixels of a field."""


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
    tiles = tiles_of(field, diameter)
    for number, tile in enumerate(tiles, 1):
        yield from cells_in(field, diameter, tile)
        if progress is not None:
            progress(number, len(tiles))


def tiles_of(field: Field, diameter: float) -> list[Tile]:
    """Return the tiles in which the cells of a field are looked for, one after the other."""
    return list(_tiles(field, round(LARGEST_CELL * diameter)))


def cells_in(field: Field, diameter: float, tile: Tile) -> list[tuple[Box, Pixels]]:
    """Return the cells that belong to a tile, as `cells_of` does; each cell of a field belongs to one of its tiles."""
    left, top, width, height = tile
    pixels = field.read(left, top, width, height)
    if not _holds_tissue(pixels):
        return []
    overlap, side = round(LARGEST_CELL * diameter), round(FRAME * diameter)
    found = []
    for box in find_cells(pixels, diameter):
        placed = replace(box, left=box.left + left, right=box.right + left, top=box.top + top, bottom=box.bottom + top)
        if not box.cut and _is_own(placed, field, (left, top), overlap):
            found.append((placed, cut_out(pixels, box, side)))
    return found


def cell_of(field: Field) -> tuple[float, Box, Pixels]:
    """Return the cell that an image of a single one shows, wherever and however large it lies in it: the diameter of a
    red cell in pixels, its box, and its square image as `cells_of` makes them.

    Of several, the largest counts whose middle is nearest to that of the image, by area over distance. Without a scale,
    red cells tell it, and without enough of them the cell itself: it shall fill HALF of the frame. Raises BadImage.
    """
    pixels = field.read(0, 0, field.width, field.height)
    known = RED_CELL_UM / field.um_per_px if field.um_per_px else red_cell_diameter(pixels)
    for diameter in [known] if known else [min(pixels.shape[:2]) / across for across in (4, 2.5, 8)]:
        boxes = find_cells(pixels, diameter)
        if not boxes:
            continue
        box = max(boxes, key=lambda each: _prominence(each, field))
        if not known:
            diameter = max(box.right - box.left, box.bottom - box.top) / (HALF * FRAME)
        return diameter, box, cut_out(pixels, box, round(FRAME * diameter))
    raise BadImage("no nucleated cell was found in it")


def _prominence(box: Box, field: Field) -> float:
    x, y = box.center
    far = np.hypot(x - field.width / 2, y - field.height / 2) / max(field.width, field.height)
    return float((box.right - box.left) * (box.bottom - box.top) / (0.1 + far))


def cut_at(field: Field, diameter: float, box: Box) -> Pixels:
    """Return the square image of a cell at a box, as `cells_of` does of those it finds."""
    side = round(FRAME * diameter)
    left, top = (max(0, round(middle - side)) for middle in box.center)
    width, height = min(2 * side, field.width - left), min(2 * side, field.height - top)
    placed = replace(box, left=box.left - left, right=box.right - left, top=box.top - top, bottom=box.bottom - top)
    return cut_out(field.read(left, top, width, height), placed, side)


def _tiles(field: Field, overlap: int) -> Iterator[Tile]:
    """Yield tiles that overlap to the right and below."""
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
