"""Geometry for generated cells: a warped patch of slide in micrometres, and outlines on it.

An *outline* is a float32 field of the patch's shape: roughly the distance in µm to the edge, positive inside.
Outlines are joined with `union` and become coverage (0 to 1) with `Canvas.cover`.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

Field = NDArray[np.floating[Any]]

EDGE_PX = 1.6  # An edge one pixel wide looks cut out with scissors; a camera never sees one.


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], spacing_px: float) -> Field:
    """Random hills about `spacing_px` wide: (h, w), mean 0, standard deviation about 0.6.

    Coarse normal values are enlarged with bicubic interpolation, ten times faster than filtering at full size.
    """
    coarse_shape = [math.ceil(side / spacing_px) + 1 for side in shape]
    coarse = rng.standard_normal(coarse_shape, dtype=np.float32)
    left, top = rng.random(2) * (1 - 1e-3)
    box = (left, top, left + shape[1] / spacing_px - 1e-3, top + shape[0] / spacing_px - 1e-3)
    box = (left, top, min(box[2], coarse_shape[1]), min(box[3], coarse_shape[0]))
    enlarged = Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC, box)
    return np.asarray(enlarged)


class Canvas:
    """A square patch with the origin in its middle, turned at random and warped, so that no outline is exact.

    `x` and `y` are (n, n) coordinates in µm; `warp` is the typical displacement of an edge in µm.
    """

    def __init__(self, rng: np.random.Generator, radius: float, px_per_um: float, warp: float = 0.3) -> None:
        self.rng, self.px_per_um, self._warp = rng, px_per_um, warp
        half = math.ceil(radius * px_per_um)
        self.shape = (2 * half + 1, 2 * half + 1)
        across = np.arange(-half, half + 1, dtype=np.float32) / px_per_um
        turn = np.float32(rng.uniform(0, 2 * np.pi))
        flat_x, flat_y = across[None, :], across[:, None]
        self._flat_x = np.cos(turn) * flat_x - np.sin(turn) * flat_y
        self._flat_y = np.sin(turn) * flat_x + np.cos(turn) * flat_y
        self.bend()

    def bend(self, spacing: float = 3.5) -> None:
        """Draw a new warp, so that body and nucleus do not share their dents; `spacing` in µm."""
        self.x = self._flat_x + self._warp * self.noise(spacing)
        self.y = self._flat_y + self._warp * self.noise(spacing)

    def noise(self, spacing: float) -> Field:
        """`smooth_noise` of this patch with hills `spacing` µm wide."""
        return smooth_noise(self.rng, self.shape, spacing * self.px_per_um)

    def granules(self, per_um2: float, radius: float) -> Field:
        """Coverage of round granules strewn at random, `per_um2` of them in a square µm, `radius` in µm."""
        count = self.rng.poisson(per_um2 * self.x.size / self.px_per_um**2)
        places = self.rng.integers(0, self.x.size, count)
        points = np.bincount(places, self.rng.uniform(0.7, 1.6, count), self.x.size)
        sigma = radius * self.px_per_um / 1.2
        hills = gaussian_filter(points.reshape(self.shape).astype(np.float32), sigma, truncate=2.5)
        coverage: Field = np.clip(hills * np.float32(4 * np.pi * sigma**2) - 0.5, 0, 1)
        return coverage

    def cover(self, outline: Field) -> Field:
        """How much of each pixel lies inside the outline, 0 to 1."""
        coverage: Field = np.clip(outline * (self.px_per_um / EDGE_PX) + 0.5, 0, 1)
        return coverage

    def ellipse(self, center: tuple[float, float], radii: tuple[float, float], angle: float = 0.0) -> Field:
        """Outline of an ellipse; center and radii in µm, angle in radians."""
        dx, dy = self.x - np.float32(center[0]), self.y - np.float32(center[1])
        cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        along, beside = (cos * dx + sin * dy) / radii[0], (cos * dy - sin * dx) / radii[1]
        outline: Field = (1 - np.hypot(along, beside)) * np.float32(min(radii))
        return outline

    def rod(self, start: tuple[float, float], end: tuple[float, float], half_width: float) -> Field:
        """Outline of a straight rod with round ends."""
        dx, dy = self.x - np.float32(start[0]), self.y - np.float32(start[1])
        ex, ey = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
        along = np.clip((dx * ex + dy * ey) / max(ex * ex + ey * ey, np.float32(1e-6)), 0, 1)
        outline: Field = np.float32(half_width) - np.hypot(dx - along * ex, dy - along * ey)
        return outline


def union(first: Field, second: Field, round_um: float = 0.4) -> Field:
    """Outline around both, with the notch between them filled over about `round_um`.

    The polynomial smooth maximum: https://iquilezles.org/articles/smin/
    """
    overlap = np.maximum(np.float32(round_um) - np.abs(first - second), 0) / round_um
    return np.maximum(first, second) + overlap * overlap * np.float32(round_um / 4)
