"""White cells found in smear fields: python -m benchmarks.fields [--fields DIR --boxes DIR] [--side N].

Boxes are Pascal VOC files of the same names, with objects called WBC. A cell counts as found where the boxes overlap
by half of their union (IoU 0.5). Cells that the edge of the field cuts (their box ends within 2 pixels of it) are
dropped by design: they are neither missed nor false. Without folders the half of the BCCD fields is used on which
nothing was tuned. Then a pyramidal TIFF of N x N generated pixels is searched for its speed and memory.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile
from PIL import Image

from benchmarks.data import show
from workers.ml.field_files import open_field
from workers.ml.fields import cells_of
from workers.ml.images import BadImage
from workers.ml.pyramids import write_pyramid
from workers.ml.regions import Box
from workers.ml.rendering import CLASSES, render_cell

OVERLAP = 0.5
EDGE = 2
TILE = 256
POOL = 64
UM_PER_PX = 360 / TILE / 9.8  # of the generated cells, once they are as large as a tile


def union_share(a: Box, b: Box) -> float:
    """Return the intersection of two boxes over their union."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box.right - box.left) * (box.bottom - box.top) for box in (a, b))
    return width * height / (areas - width * height)


def true_boxes(path: Path) -> list[Box]:
    """Return the white cells of a Pascal VOC file."""
    boxes = []
    for item in ElementTree.parse(path).getroot().iter("object"):
        if item.findtext("name", "").upper() == "WBC":
            corner = [float(item.findtext(f"bndbox/{name}", "0")) for name in ("xmin", "ymin", "xmax", "ymax")]
            boxes.append(Box(*corner))
    return boxes


def compare(found: list[Box], true: list[Box], width: int, height: int) -> tuple[int, int, int]:
    """Return how many cells were found, missed, and found where there is none."""
    right = missed = 0
    left = list(found)
    for box in true:
        cut = min(box.left, box.top) <= EDGE or box.right >= width - EDGE or box.bottom >= height - EDGE
        best = max(left, key=lambda other: union_share(box, other), default=None)
        overlap = union_share(box, best) if best else 0.0
        if best and overlap >= (0.1 if cut else OVERLAP):
            left.remove(best)
            right += not cut
        else:
            missed += not cut
    return right, missed, len(left)


def accuracy(fields: list[Path], boxes: Path) -> dict[str, float]:
    """Search all fields; returns recall, precision and seconds per megapixel."""
    totals, seconds, pixels = np.zeros(3), 0.0, 0
    for path in fields:
        start = time.perf_counter()
        field = open_field(path)
        try:
            found = [box for box, _ in cells_of(field)]
        except BadImage as error:
            print(f"{path.name}: {error.reason}", file=sys.stderr)
            found = []
        seconds += time.perf_counter() - start
        pixels += field.width * field.height
        totals += compare(found, true_boxes(boxes / f"{path.stem}.xml"), field.width, field.height)
    right, missed, false = totals
    print(f"{len(fields)} fields: {right:.0f} white cells found, {missed:.0f} missed, {false:.0f} false")
    return {
        "recall": right / max(1, right + missed),
        "precision": right / max(1, right + false),
        "s_per_megapixel": seconds / (pixels / 1e6),
    }


def write_slide(path: Path, side: int) -> int:
    """Write a pyramidal TIFF of side x side pixels, a generated white cell amid red cells in every tile.

    Returns the number of tiles of its largest level.
    """
    pool = [render_cell(str(code), "A", seed) for seed, code in enumerate(np.resize(list(CLASSES), POOL))]
    tiles = [encoded(Image.fromarray(pixels)) for pixels in pool]
    small = [encoded(Image.fromarray(pixels).resize((TILE // 2, TILE // 2)).resize((TILE, TILE))) for pixels in pool]
    options = {
        "dtype": np.uint8, "tile": (TILE, TILE), "photometric": "ycbcr", "subsampling": (2, 2), "compression": "jpeg",
    }  # fmt: skip
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level, of in enumerate((tiles, small)):
            size = side >> level
            count = math.ceil(size / TILE) ** 2
            scale = (10_000 / UM_PER_PX / 2**level,) * 2
            file.write(
                islice(cycle(of), count),
                shape=(size, size, 3),
                resolution=scale,
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 0),
                **options,
            )
    return math.ceil(side / TILE) ** 2


def encoded(tile: Image.Image) -> bytes:
    """Return a JPEG of one tile."""
    buffer = BytesIO()
    tile.resize((TILE, TILE)).save(buffer, "JPEG", quality=88, subsampling="4:2:0")
    return buffer.getvalue()


def search_slide(side: int) -> dict[str, float]:
    """Search a generated slide in a process of its own, so that only its memory counts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tiff"
        white = write_slide(path, side)
        command = [sys.executable, "-m", "benchmarks.fields", "--search", str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"slide of {side} x {side} pixels: {found['cells']} cells, drawn were at least {white}")
    megapixels = side**2 / 1e6
    return {
        "slide_s_per_megapixel": found["seconds"] / megapixels,
        "slide_written_s_per_megapixel": found["written"] / megapixels,
        "peak_mb": found["peak_mb"],
    }


def search(path: Path) -> None:
    """Write the pixels of one slide anew and search it, as the worker does, and print what it cost."""
    start = time.perf_counter()
    write_pyramid(open_field(path), path.with_suffix(".pyramid"))
    written = time.perf_counter()
    cells = sum(1 for _ in cells_of(open_field(path)))
    found = {"cells": cells, "written": written - start, "seconds": time.perf_counter() - written}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**found, "peak_mb": peak}))


def main() -> None:
    """Print a table for people and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--side", type=int, default=40_000, help="pixels of the generated slide, 0 for none")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.search:
        return search(arguments.search)
    figures: dict[str, float] = {}
    if arguments.fields:
        paths = sorted(path for path in arguments.fields.iterdir() if (arguments.boxes / f"{path.stem}.xml").exists())
        figures |= accuracy(paths, arguments.boxes)
    elif root := os.environ.get("FIFTYCELLS_DATA"):
        folder = Path(root) / "bccd"
        figures |= accuracy(sorted((folder / "fields").iterdir())[1::2], folder / "boxes")
    else:
        print("FIFTYCELLS_DATA is unset: no real fields")
    if arguments.side:
        figures |= search_slide(arguments.side)
    show("cells in fields", figures)
    return None


if __name__ == "__main__":
    main()
