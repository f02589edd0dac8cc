"""Generated cells: a seeded renderer of stained blood cells for the demo, the tests and the load benchmarks.

No image here was ever a cell. The classes look as they do under May-Gruenwald-Giemsa, closely enough to try the
product; accuracies measured on them say nothing about blood. docs/demo-cells.md says what is modelled.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageChops
from scipy.stats import norm

from workers.ml.rendering_canvas import Field, smooth_noise
from workers.ml.rendering_smear import draw_smear

Pixels = NDArray[np.uint8]
Random = np.random.Generator

CLASSES = {
    "NGS": "segmented neutrophil",
    "NGB": "band neutrophil",
    "LYT": "lymphocyte",
    "MON": "monocyte",
    "EOS": "eosinophil",
    "BAS": "basophil",
    "EBO": "erythroblast",
    "BLA": "blast",
}

# A sick patient's differential, so that a demo of 1,500 cells has some 45 of its rarest class.
DIFFERENTIAL = {
    "NGS": 0.40, "NGB": 0.10, "LYT": 0.22, "MON": 0.09, "EOS": 0.06, "BAS": 0.03, "EBO": 0.05, "BLA": 0.05,
}  # fmt: skip


# The ways in which `cheap_cells` varies one picture, and a prime to walk through them without repeating.
SHIFTS, TINTS, STRIDE = 12, 9, 1_000_000_007


@dataclass(frozen=True)
class Scanner:
    """How one device and its stain show a cell.

    `stains` is (4, 3): the natural-log optical density in R, G, B of one unit of azure (nuclei), methylene blue
    (cytoplasm), eosin and haemoglobin. `sharpness` is the range of optical resolution, as a share of the pixels:
    a smear is drawn at that size and enlarged, so focus varies from cell to cell. `noise` is in grey levels.
    """

    side: int
    px_per_um: float
    background: tuple[int, int, int]
    stains: tuple[tuple[float, float, float], ...]
    sharpness: tuple[float, float]
    noise: float
    jpeg_quality: int


SCANNERS = {
    "A": Scanner(
        side=360,
        px_per_um=9.8,
        background=(254, 230, 203),
        stains=((1.42, 2.05, 0.60), (0.72, 0.55, 0.14), (0.26, 0.86, 0.72), (0.21, 0.30, 0.20)),
        sharpness=(0.65, 0.9),
        noise=2.0,
        jpeg_quality=92,
    ),
    "B": Scanner(
        side=300,
        px_per_um=7.4,
        background=(224, 222, 236),
        stains=((1.15, 1.75, 0.28), (0.62, 0.40, 0.05), (0.12, 0.62, 0.36), (0.10, 0.26, 0.12)),
        sharpness=(0.5, 0.7),
        noise=4.0,
        jpeg_quality=82,
    ),
    "C": Scanner(
        side=260,
        px_per_um=5.8,
        background=(226, 234, 226),
        stains=((1.05, 1.50, 0.50), (0.60, 0.36, 0.14), (0.12, 0.56, 0.48), (0.09, 0.27, 0.22)),
        sharpness=(0.5, 0.65),
        noise=5.0,
        jpeg_quality=75,
    ),
}


def render_cell(code: str, scanner: str, seed: int) -> Pixels:
    """Render one cell of class `code` amid red cells: (side, side, 3) RGB; the same arguments, the same pixels.

    Raises ValueError for a class or scanner that is not in `CLASSES` or `SCANNERS`, or a negative seed.
    """
    _check("class", code, CLASSES)
    _check("scanner", scanner, SCANNERS)
    rng = _random(code, scanner, seed)
    device = SCANNERS[scanner]
    side = 2 * round(device.side * rng.uniform(*device.sharpness) / 2)
    return _expose(rng, device, draw_smear(rng, code, side, device.px_per_um * side / device.side))


def demo_cells(
    n: int, scanner: str, seed: int, weights: Mapping[str, float] | None = None
) -> Iterator[tuple[str, str, bytes]]:
    """Yield `n` generated cells as (file name, class code, JPEG bytes), classes drawn by `weights`.

    Without weights the classes come as in `DIFFERENTIAL`; `dict.fromkeys(CLASSES, 1)` makes them equally likely.
    Raises ValueError for an unknown class or scanner and for weights that are negative or sum to 0.
    """
    for i, (code, cell_seed) in enumerate(_draw(n, scanner, seed, weights)):
        pixels = render_cell(code, scanner, cell_seed)
        yield f"generated-{scanner}-{seed}-{i:05d}.jpg", code, _jpeg(Image.fromarray(pixels), scanner)


def cheap_cells(n: int, scanner: str, seed: int, side: int = 112, pool: int = 64) -> Iterator[tuple[str, str, bytes]]:
    """Yield `n` distinct small cells for load tests, thousands a second, as `demo_cells` does.

    Each is one of `pool` rendered cells, turned or mirrored, shifted and tinted; no combination comes twice.
    Two of them may thus show the same cell, so they are no use for measuring a classifier.
    Raises ValueError for an unknown scanner, and where `n` exceeds the combinations (839,808 times `pool`).
    """
    codes = list(CLASSES) * math.ceil(pool / len(CLASSES))
    cells = [_middle(render_cell(codes[i], scanner, _nth_seed(seed, i)), side + SHIFTS) for i in range(pool)]
    choices = (SHIFTS, SHIFTS, TINTS, TINTS, TINTS, 8, pool)
    combinations = int(np.prod(choices))
    if n > combinations:
        raise ValueError(f"{n} distinct cells need a larger pool: {pool} give {combinations}.")
    for i in range(n):
        # Steps of a number that shares no factor with `combinations` visit each of them once.
        x, y, *tint, turn, which = map(int, np.unravel_index(i * STRIDE % combinations, choices))
        tile = cells[which].crop((x, y, x + side, y + side))
        if turn > 0:
            tile = tile.transpose(Image.Transpose(turn - 1))
        # Up to a sixth darker in each channel.
        red, green, blue = (255 - 5 * step for step in tint)
        tile = ImageChops.multiply(tile, Image.new("RGB", tile.size, (red, green, blue)))
        yield f"generated-small-{scanner}-{seed}-{i:07d}.jpg", codes[which], _jpeg(tile, scanner)


def _middle(pixels: Pixels, side: int) -> Image.Image:
    """Cut out the middle three fifths of a frame, where the cell lies, at (side, side) pixels."""
    margin = len(pixels) // 5
    box = (margin, margin, len(pixels) - margin, len(pixels) - margin)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR, box)


def _draw(n: int, scanner: str, seed: int, weights: Mapping[str, float] | None) -> list[tuple[str, int]]:
    """Draw the class and the seed of each of `n` cells."""
    weights = DIFFERENTIAL if weights is None else weights
    for code in weights:
        _check("class", code, CLASSES)
    _check("scanner", scanner, SCANNERS)
    shares = np.array([weights.get(code, 0) for code in CLASSES], dtype=float)
    if shares.min() < 0 or shares.sum() <= 0:
        raise ValueError("Class weights must be 0 or more, and one of them more than 0.")
    rng = _random("demo", scanner, seed)
    codes = rng.choice(list(CLASSES), size=n, p=shares / shares.sum())
    return [(str(code), int(rng.integers(2**62))) for code in codes]


def _random(name: str, scanner: str, seed: int) -> Random:
    """Give the generator that belongs to (name, scanner, seed), the same in every process."""
    if seed < 0:
        raise ValueError(f"The seed must be 0 or more, not {seed}.")
    words = [int.from_bytes(word.encode()) for word in (name, scanner)]
    return np.random.Generator(np.random.PCG64([*words, seed]))


def _nth_seed(seed: int, i: int) -> int:
    """Keep the cells of neighbouring seeds apart: a million cells lie between them."""
    return seed * 1_000_000 + i


def _check(what: str, value: str, known: Mapping[str, object]) -> None:
    if value not in known:
        raise ValueError(f"Unknown {what} {value!r}: choose one of {', '.join(known)}.")


def _jpeg(image: Image.Image, scanner: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=SCANNERS[scanner].jpeg_quality)
    return buffer.getvalue()


def _expose(rng: Random, device: Scanner, stains: Field) -> Pixels:
    """Turn stain amounts (4, h, w) into what the scanner records, by Beer and Lambert's law."""
    strength = np.exp(rng.normal(0, 0.12, 4))
    hue = np.exp(rng.normal(0, 0.06, (4, 3)))
    vectors = np.array(device.stains) * strength[:, None] * hue
    light = np.log(np.array(device.background) * (1 + rng.normal(0, 0.006, 3)))
    shade = smooth_noise(rng, stains.shape[1:], stains.shape[1] / 2) * np.float32(0.012)
    channels = []
    for channel in range(3):
        # Four multiplications by hand: a matrix product this narrow is ten times slower in BLAS.
        density = sum(stain * np.float32(v) for stain, v in zip(stains, vectors[:, channel], strict=True))
        passed = np.minimum(np.exp(np.float32(light[channel]) + shade - density), 255)
        small = Image.fromarray(passed.astype(np.uint8))
        channels.append(small.resize((device.side, device.side), Image.Resampling.BILINEAR))
    seen = np.asarray(Image.merge("RGB", channels))
    # A look-up by random bytes costs a tenth of drawing the same normal values.
    grain = np.rint(device.noise * norm.ppf((np.arange(256) + 0.5) / 256)).astype(np.int16)
    noisy = seen + grain[rng.integers(0, 256, seen.shape, np.uint8)]
    recorded: Pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return recorded


def main(
    out: Annotated[Path, typer.Option(help="Folder for the images; made if missing.")],
    per_class: Annotated[int, typer.Option(help="Cells of each class.", min=1)] = 50,
    scanner: Annotated[str, typer.Option(help="Scanner profile: A, B or C.")] = "A",
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.", min=0)] = 0,
    labels: Annotated[
        Path | None, typer.Option(help="CSV of path,label (paths relative to OUT); OUT/labels.csv if not given.")
    ] = None,
) -> None:
    """Write generated (not real) blood cells as JPEG files, and a CSV of their classes."""
    if scanner not in SCANNERS:
        raise typer.BadParameter(f"choose one of {', '.join(SCANNERS)}", param_hint="--scanner")
    out.mkdir(parents=True, exist_ok=True)
    with (labels or out / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        for i in range(per_class):
            for code in CLASSES:
                name = f"generated-{scanner}-{seed}-{code}-{i:05d}.jpg"
                pixels = render_cell(code, scanner, _nth_seed(seed, i))
                (out / name).write_bytes(_jpeg(Image.fromarray(pixels), scanner))
                rows.writerow([name, code])
    typer.echo(f"{per_class * len(CLASSES)} generated cells (none of them real) are in {out}.")


if __name__ == "__main__":
    typer.run(main)
