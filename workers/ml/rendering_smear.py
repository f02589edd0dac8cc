"""What lies around a generated cell: red cells, platelets, at times another white cell; stain amounts out."""

import math

import numpy as np
from PIL import Image

from workers.ml.rendering_canvas import Field
from workers.ml.rendering_cells import HAEM, RECIPES, Cell, Random, platelet

RED_CELL_REACH = 5.0  # µm from the middle of a red cell to the edge of the patch it is drawn on.


def draw_smear(rng: Random, code: str, side: int, px_per_um: float) -> Field:
    """Stain amounts (4, side, side) of a cell of class `code` near the middle, and of its surroundings."""
    cell = RECIPES[code](rng, px_per_um)
    stains = np.zeros((4, side, side), np.float32)
    stains[HAEM] = _red_cells(rng, side, px_per_um, cell.radius)
    for _ in range(rng.poisson(1.2)):
        _paste(stains, platelet(rng, px_per_um), rng.uniform(0, side, 2))
    if rng.random() < 0.08:
        angle, away = rng.uniform(0, 2 * np.pi), px_per_um * rng.uniform(15, 20)
        beside = side / 2 + away * np.array([math.cos(angle), math.sin(angle)])
        _paste(stains, RECIPES[str(rng.choice(list(RECIPES)))](rng, px_per_um), beside)
    _paste(stains, cell, side / 2 + rng.normal(0, side * 0.02, 2))
    return stains


def _red_cells(rng: Random, side: int, px_per_um: float, keep_out: float) -> Field:
    """Haemoglobin amounts (side, side) of red cells that leave `keep_out` µm in the middle free.

    They are drawn at half size and enlarged, which costs a quarter and gives their edges the usual softness.
    """
    scale, half_side = px_per_um / 2, side // 2
    centers = _scatter(rng, half_side / scale / 2 + 3, keep_out)
    reach = math.ceil(RED_CELL_REACH * scale)
    pad = reach + math.ceil(3 * scale) + 1
    corners = np.floor(centers * scale + half_side / 2).astype(int) + pad - reach
    layer = np.zeros((half_side + 2 * pad, half_side + 2 * pad), np.float32)
    for (left, top), patch in zip(corners, _red_patches(rng, len(centers), scale), strict=True):
        layer[top : top + 2 * reach, left : left + 2 * reach] += patch
    inner = Image.fromarray(layer[pad:-pad, pad:-pad])
    return np.asarray(inner.resize((side, side), Image.Resampling.BILINEAR))


def _scatter(rng: Random, reach: float, keep_out: float) -> Field:
    """Centers (m, 2) in µm within ±`reach` of the middle: thrown one by one, those too close are dropped."""
    thrown = rng.uniform(-reach, reach, (int(rng.integers(25, 80)), 2))
    apart = rng.uniform(4.5, 7.5)  # A red cell is seven across: the lowest values make them overlap.
    close = np.hypot(*(thrown[:, None] - thrown).transpose(2, 0, 1)) < apart
    clear = np.hypot(*thrown.T) > keep_out + rng.uniform(2.6, 4.2, len(thrown))
    kept = np.zeros(len(thrown), bool)
    for i in np.flatnonzero(clear):
        kept[i] = not (close[i] & kept).any()
    return thrown[kept]


def _red_patches(rng: Random, count: int, scale: float) -> Field:
    """Draw `count` red cells (count, n, n): ovals, three-cornered at times, thin in their middle."""

    def each(values: Field) -> Field:
        return values.astype(np.float32)[:, None, None]

    reach = math.ceil(RED_CELL_REACH * scale)
    across = (np.arange(-reach, reach, dtype=np.float32) + 0.5) / np.float32(scale)
    radius, stretch = each(rng.normal(3.5, 0.2, count)), each(rng.uniform(1, 1.12, count))
    turn = each(rng.uniform(0, np.pi, count))
    x, y = across[None, None, :] / radius, across[None, :, None] / radius
    along = (np.cos(turn) * x + np.sin(turn) * y) * stretch
    beside = (np.cos(turn) * y - np.sin(turn) * x) / stretch
    square = along * along + beside * beside
    corners = np.clip(along * (along * along - 3 * beside * beside), -3, 3)
    square *= 1 + each(np.clip(rng.normal(0, 0.035, count), -0.12, 0.12)) * corners
    edge = np.clip((1 - np.sqrt(square)) * radius * np.float32(scale / 1.2) + 0.5, 0, 1)
    pallor = each(np.minimum(rng.uniform(0.1, 0.95) * rng.uniform(0.7, 1.1, count), 0.95))
    hollow = pallor * np.exp(-np.square(square / each(rng.uniform(0.12, 0.4, count))))
    patches: Field = edge * (np.float32(0.85) + np.float32(0.2) * square - hollow)
    return patches


def _paste(stains: Field, cell: Cell, center: Field) -> None:
    """Lay a cell over what is there, its middle at `center` (x, y) pixels; what hangs over is cut off."""
    side, size = stains.shape[1], cell.body.shape[0]
    left, top = (int(c) - size // 2 for c in center)
    rows = slice(max(0, top), max(0, min(side, top + size)))
    columns = slice(max(0, left), max(0, min(side, left + size)))
    own = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    under = stains[:, rows, columns]
    under *= 1 - np.float32(0.9) * cell.body[own]
    under += cell.stains[:, *own]
