"""White cells and other nucleated cells of a smear field: where they are, and square images of them.

Everything is measured in red cells: they are 7.5 µm across in every lab, whatever its camera. Stain is measured in
optical density against the local background, so that neither lamp nor white balance matter. Nuclei take up dye in red
and green and little in blue; red cells take up blue as well (docs/fields.md).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from skimage import feature, filters, measure, segmentation
from skimage.morphology import closing, disk, opening, remove_small_objects

from workers.ml.images import Pixels

RED_CELL_UM: Final = 7.5
"""Diameter of a red cell in a smear (Diez-Silva et al. 2010 give 7.5 to 8.7 for discs; dried ones are smaller)."""
WORKING: Final = 32
"""Pixels across a red cell at the resolution at which cells are looked for."""
FRAME: Final = 3.75
"""Side of the image of a cell in diameters of a red cell: 28 µm, a frame of which a white cell fills about half."""
BLOCKS: Final = 6
FOREGROUND: Final = 0.08
FAINTEST: Final = 0.03
"""Optical density below which everything is glass, whatever the field holds."""
FAINTEST_NUCLEUS: Final = 0.08
NUCLEUS: Final = 0.45
"""A nucleus has at least this share of the contrast of the strongest stain in the field."""
SMALLEST: Final = 0.25
"""Nuclei smaller than this share of a red cell are platelets or debris."""
LARGEST: Final = 4.0
"""Nuclei larger than so many red cells are several that touch."""
REACH: Final = 0.8
"""Cytoplasm lies so many red cells' diameters around its nucleus at most."""
FINE, COARSE = (disk(radius) for radius in (2, 4))

Density = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of a field, right and bottom outside; `cut` if the cell goes on beyond the edge."""

    left: float
    top: float
    right: float
    bottom: float
    cut: bool = False

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in whole pixels."""
        return round(self.left), round(self.top), round(self.right), round(self.bottom)

    @property
    def center(self) -> tuple[float, float]:
        """Its middle: x, y."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


def optical_density(pixels: Pixels) -> Density:
    """Return (h, w, 3): how many times e the local background is brighter, per channel; 0 is empty glass.

    The background is what the brightest tenth of each of 6 x 6 blocks exceeds, smoothed over blocks.
    """
    height, width = pixels.shape[:2]
    rows, columns = (min(BLOCKS, side) for side in (height, width))
    blocks = np.array(
        [
            [np.percentile(block.reshape(-1, 3), 90, axis=0) for block in np.array_split(row, columns, axis=1)]
            for row in np.array_split(pixels, rows)
        ]
    )
    smooth = ndimage.median_filter(blocks, (3, 3, 1), mode="nearest").astype(np.float32)
    channels = [Image.fromarray(smooth[..., at]).resize((width, height), Image.Resampling.BILINEAR) for at in range(3)]
    background = np.stack([np.asarray(channel) for channel in channels], 2)
    density: Density = np.clip(np.log((background + 1) / (pixels.astype(np.float32) + 1)), -0.3, 3)
    return density


def red_cell_diameter(pixels: Pixels) -> float | None:
    """Estimate the diameter of red cells in pixels, from what stands out in green; None where there are too few.

    Distances to the background peak in the middle of each cell, at its radius. Large ones count by their area, for
    they are whole cells and not debris; of these the 40th percentile, for clumps look like even larger ones.
    """
    for side in (480, 960, 1920):
        scale = min(1.0, side / max(pixels.shape[:2]))
        green = ndimage.gaussian_filter(optical_density(_resized(pixels, scale))[..., 1], 1)
        threshold = max(FAINTEST, filters.threshold_li(np.clip(green, -0.1, 0.6)))
        mask = ndimage.binary_fill_holes(green > threshold)
        mask = remove_small_objects(mask, max_size=60)
        depth = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
        peaks = feature.peak_local_max(ndimage.gaussian_filter(depth, 1.5), min_distance=6, threshold_abs=3)
        radii = np.sort(depth[tuple(peaks.T)])
        weights = np.cumsum(radii**2)
        if len(radii) >= 4:
            diameter = 2 * float(radii[np.searchsorted(weights, 0.4 * weights[-1])])
            if diameter >= 14 or scale == 1:
                return float(diameter / scale)
    return None


def find_cells(pixels: Pixels, diameter: float) -> list[Box]:
    """Return the nucleated cells of a field (h, w, 3) whose red cells are `diameter` pixels across.

    A cell is its nucleus, lobes and all, with the cytoplasm around it.
    """
    scale = WORKING / diameter
    density = np.maximum(optical_density(_resized(pixels, scale)), 0)  # what shines brighter than glass is no stain
    contrast = ndimage.gaussian_filter(np.minimum(density[..., 0], density[..., 1]) - density[..., 2], 1)
    stained = ndimage.gaussian_filter(density[..., 1], 1) > FOREGROUND
    threshold = max(FAINTEST_NUCLEUS, NUCLEUS * float(np.percentile(contrast, 99.7)))
    nuclei = opening(contrast > threshold, FINE)
    cells = _with_cytoplasm(nuclei, contrast, stained, threshold)
    boxes = []
    for region in measure.regionprops(measure.label(cells)):
        nucleus = nuclei[region.slice] & region.image
        top, left = region.bbox[:2]
        for y, x in _parts(region.image, nucleus):
            corner = (left + x.start, top + y.start, left + x.stop, top + y.stop)
            boxes.append(_box(corner, cells.shape, pixels.shape, scale))
    return boxes


def cut_out(pixels: Pixels, box: Box, side: int) -> Pixels:
    """Return the square (side, side, 3) around a cell; beyond the edge of the field is glass, of the field's colour."""
    left, top = (round(middle - side / 2) for middle in box.center)
    part = pixels[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if part.shape == (side, side, 3):
        return part
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.percentile(pixels[::8, ::8].reshape(-1, 3), 90, axis=0).astype(np.uint8)
    y, x = max(0, -top), max(0, -left)
    square[y : y + part.shape[0], x : x + part.shape[1]] = part
    return square


def _resized(pixels: Pixels, scale: float) -> Pixels:
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3))


def _with_cytoplasm(nuclei: Mask, contrast: Density, stained: Mask, threshold: float) -> Mask:
    """Grow nuclei into what is stained and less red than red cells, whose contrast is the usual one of the field."""
    others = contrast[stained & (contrast <= threshold)]
    usual = np.median(others) if others.size else 0.0
    spread = 1.48 * np.median(np.abs(others - usual)) if others.size else 0.0
    least = min(max(usual + 1.2 * spread, -0.05), threshold)
    plasma = opening((contrast > least) & stained, FINE) | nuclei
    cells = ndimage.binary_dilation(nuclei, iterations=round(REACH * WORKING), mask=plasma)
    cells = closing(np.pad(cells, 8), COARSE)[8:-8, 8:-8]
    return np.asarray(opening(ndimage.binary_fill_holes(cells), COARSE) | nuclei)


def _parts(cell: Mask, nucleus: Mask) -> list[tuple[slice, slice]]:
    """Return where the cells of a connected region are: none, one, or several that touch."""
    red_cell = np.pi * (WORKING / 2) ** 2
    if nucleus.sum() < SMALLEST * red_cell:
        return []
    whole = (slice(0, cell.shape[0]), slice(0, cell.shape[1]))
    if nucleus.sum() < LARGEST * red_cell and cell.sum() < 1.4 * LARGEST * red_cell:
        return [whole]
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(np.pad(cell, 1)), 2)[1:-1, 1:-1]
    peaks = feature.peak_local_max(
        depth, min_distance=round(0.7 * WORKING), labels=cell.astype(int), exclude_border=False
    )
    markers = np.zeros(cell.shape, int)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    split = segmentation.watershed(-depth, markers, mask=cell)
    found = [
        part.slice
        for part in measure.regionprops(split)
        if (nucleus & (split == part.label)).sum() >= SMALLEST * red_cell
    ]
    return found or [whole]


def _box(corner: tuple[int, int, int, int], shape: tuple[int, ...], field: tuple[int, ...], scale: float) -> Box:
    """Return a box of the field for one at working resolution, with a small margin."""
    left, top, right, bottom = corner
    cut = left == 0 or top == 0 or right == shape[1] or bottom == shape[0]
    margin = 0.04 * WORKING
    x, y = ((low + high) / 2 for low, high in ((left, right), (top, bottom)))
    half_width, half_height = (max(side / 2 + margin, WORKING / 2) for side in (right - left, bottom - top))
    return Box(
        left=max(0.0, (x - half_width) / scale),
        top=max(0.0, (y - half_height) / scale),
        right=min(float(field[1]), (x + half_width) / scale),
        bottom=min(float(field[0]), (y + half_height) / scale),
        cut=cut,
    )
