"""How each class of generated cell is put together: one recipe a class, stain amounts out.

A recipe takes a random generator and the scale in pixels per µm. All sizes below are in µm.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from workers.ml.rendering_canvas import Canvas, Field, union

AZURE, BLUE, EOSIN, HAEM = range(4)  # Rows of every array of stain amounts.

Random = np.random.Generator
Amounts = dict[int, Field | float]


class Cell(NamedTuple):
    """A drawn cell: `stains` (4, n, n) amounts, `body` (n, n) coverage, `radius` of the body in µm."""

    stains: Field
    body: Field
    radius: float


def segmented_neutrophil(rng: Random, px_per_um: float) -> Cell:
    """Two to five lobes joined by bridges that are sometimes too thick to be sure."""
    radius = rng.normal(6.6, 0.45)
    canvas = Canvas(rng, radius * 1.35, px_per_um, 0.35)
    count = int(rng.choice([2, 3, 4, 5], p=[0.2, 0.4, 0.3, 0.1]))
    area, bridge = rng.uniform(27, 40), rng.uniform(0.15, 1.2)
    return _neutrophil(canvas, radius, _lobes(canvas, count, area, bridge, radius * 0.92))


def band_neutrophil(rng: Random, px_per_um: float) -> Cell:
    """A C-shaped band of nearly even width; in two of five pinched or bent like a sausage, almost segmented."""
    radius = rng.normal(6.7, 0.45)
    canvas = Canvas(rng, radius * 1.35, px_per_um, rng.uniform(0.3, 0.6))
    if rng.random() < 0.4:
        nucleus = _lobes(canvas, int(rng.integers(2, 5)), rng.uniform(27, 40), rng.uniform(1.0, 1.5), radius * 0.92)
        return _neutrophil(canvas, radius, nucleus)
    middle = rng.uniform(0.9, 1.5)
    width = (middle * rng.uniform(1, 1.45), middle)
    return _neutrophil(canvas, radius, _bow(canvas, rng.uniform(2.7, 3.4), rng.uniform(1.6, 3.4), width))


def _neutrophil(canvas: Canvas, radius: float, nucleus: Field) -> Cell:
    """Add the cytoplasm both neutrophils share: pale pink with fine violet granules."""
    rng = canvas.rng
    canvas.bend(5.0)
    dust = canvas.granules(rng.uniform(0.5, 3.5), 0.13) * rng.uniform(0.08, 0.4)
    cytoplasm: Amounts = {
        EOSIN: rng.uniform(0.1, 0.26) + 0.07 * canvas.noise(0.6),
        BLUE: rng.uniform(0.02, 0.2),
        AZURE: 0.04 + 0.04 * canvas.noise(0.3) + dust,
    }
    azure = _chromatin(canvas, nucleus, rng.uniform(0.85, 1.1), rng.uniform(0.6, 1.0), 0.2)
    return _finish(canvas, _body(canvas, radius), cytoplasm, nucleus, azure)


def lymphocyte(rng: Random, px_per_um: float) -> Cell:
    """A round dense nucleus of clumped chromatin; a thin sky-blue rim in small cells, more in large ones."""
    size = rng.uniform(3.2, 4.6) if rng.random() < 0.8 else rng.uniform(4.6, 5.6)
    radius = size * (rng.uniform(1.05, 1.25) if rng.random() < 0.7 else rng.uniform(1.25, 1.6))
    canvas = Canvas(rng, radius * 1.4, px_per_um, 0.35)
    off = (radius - size) * rng.uniform(0.2, 0.9)
    nucleus = canvas.ellipse((off, 0), (size * rng.uniform(1, 1.15), size), rng.uniform(0, 3))
    canvas.bend(3.0)
    few = canvas.granules(0.15, 0.25) * (0.5 if rng.random() < 0.2 else 0.0)
    cytoplasm: Amounts = {
        BLUE: rng.uniform(0.25, 0.9) + 0.12 * canvas.noise(0.8),
        HAEM: rng.uniform(0, 0.25),
        AZURE: rng.uniform(0.08, 0.2) + few,
    }
    density, clump = rng.uniform(0.7, 1.12), rng.uniform(0.5, 1.3)
    azure = _chromatin(canvas, nucleus, density, clump, rng.uniform(0.14, 0.36))
    return _finish(canvas, _body(canvas, radius), cytoplasm, nucleus, azure)


def monocyte(rng: Random, px_per_um: float) -> Cell:
    """A large grey-blue cell with a ragged edge, a folded or kidney-shaped lacy nucleus, vacuoles at times."""
    radius = rng.normal(7.2, 0.8)
    canvas = Canvas(rng, radius * 1.45, px_per_um, rng.uniform(0.3, 0.75))
    nucleus = _folded(canvas, radius * rng.uniform(0.6, 0.82), radius * 0.1)
    canvas.bend(3.5)
    count = int(rng.integers(1, 9)) if rng.random() < 0.4 else 0
    holes = _holes(canvas, count, radius * 0.85, (0.3, 0.8))
    dust = canvas.granules(1.5, 0.15)
    cytoplasm: Amounts = {
        BLUE: (rng.uniform(0.25, 0.7) + rng.uniform(0.06, 0.15) * canvas.noise(0.6)) * holes,
        EOSIN: rng.uniform(0.03, 0.14),
        AZURE: (rng.uniform(0.1, 0.2) + 0.06 * canvas.noise(0.4) + 0.12 * dust) * holes,
    }
    folds = np.exp(-np.square(canvas.noise(3.2) / 0.1)) * np.float32(rng.uniform(0, 0.25))
    density, clump = rng.uniform(0.6, 0.95), rng.uniform(0.5, 1.0)
    azure = _chromatin(canvas, nucleus, density, clump, rng.uniform(0.2, 0.34)) * (1 + folds)
    body = _body(canvas, radius, 0.2)
    return _finish(canvas, body, cytoplasm, nucleus, azure * np.maximum(holes, 0.45))


def eosinophil(rng: Random, px_per_um: float) -> Cell:
    """Two, rarely three, plump lobes in a body packed with large orange-red granules."""
    radius = rng.normal(6.7, 0.45)
    canvas = Canvas(rng, radius * 1.35, px_per_um, 0.35)
    area, bridge = rng.uniform(32, 44), rng.uniform(0.2, 0.9)
    nucleus = _lobes(canvas, 2 if rng.random() < 0.75 else 3, area, bridge, radius * 0.92)
    canvas.bend(5.0)
    packing = rng.uniform(1.5, 5.0) if rng.random() < 0.8 else rng.uniform(0.2, 1.0)
    granules = canvas.granules(packing, rng.uniform(0.28, 0.38))
    holes = _holes(canvas, int(rng.integers(0, 4)), radius * 0.8, (0.25, 0.6))
    cytoplasm: Amounts = {
        EOSIN: (rng.uniform(0.12, 0.3) + rng.uniform(0.2, 0.65) * granules + 0.12 * canvas.noise(0.4)) * holes,
        BLUE: rng.uniform(0.03, 0.25),
        AZURE: (0.04 + 0.1 * granules) * holes,
    }
    azure = _chromatin(canvas, nucleus, rng.uniform(0.75, 1.0), rng.uniform(0.7, 1.1), 0.22)
    body = _body(canvas, radius, off=rng.uniform(0, 0.25) * radius)
    return _finish(canvas, body, cytoplasm, nucleus, azure)


def basophil(rng: Random, px_per_um: float) -> Cell:
    """Coarse dark violet granules that hide a paler, vaguely lobed nucleus; some have dissolved into holes."""
    radius = rng.normal(6.0, 0.5)
    canvas = Canvas(rng, radius * 1.4, px_per_um, 0.35)
    area, bridge = rng.uniform(38, 52), rng.uniform(0.8, 1.6)
    nucleus = _lobes(canvas, int(rng.integers(2, 4)), area, bridge, radius * 0.9)
    canvas.bend(5.0)
    granules = canvas.granules(rng.uniform(0.15, 1.8), rng.uniform(0.25, 0.42))
    holes = 1 - 0.8 * canvas.granules(rng.uniform(0, 0.25), 0.3) * (1 - 0.6 * canvas.cover(nucleus))
    cytoplasm: Amounts = {
        EOSIN: rng.uniform(0.1, 0.3) * holes,
        BLUE: rng.uniform(0.05, 0.25) * holes,
        AZURE: rng.uniform(0.05, 0.2) * holes,
    }
    azure = _chromatin(canvas, nucleus, rng.uniform(0.55, 0.85), 0.9, 0.2)
    azure = np.maximum(azure, granules * np.float32(rng.uniform(0.9, 1.15))) * holes
    return _finish(canvas, _body(canvas, radius), cytoplasm, nucleus, azure)


def erythroblast(rng: Random, px_per_um: float) -> Cell:
    """A small round nucleus, near black when ripe, in smooth cytoplasm between blue-grey and red-cell pink."""
    ripe = rng.random()
    size = 4.2 - 1.5 * ripe + rng.normal(0, 0.3)
    radius = size + rng.uniform(0.4, 2.2)
    canvas = Canvas(rng, radius * 1.35, px_per_um, 0.25)
    nucleus = canvas.ellipse(((radius - size) * rng.uniform(0, 0.9), 0), (size, size))
    canvas.bend(5.0)
    cytoplasm: Amounts = {
        BLUE: 0.55 - 0.4 * ripe + rng.uniform(0, 0.25) + 0.05 * canvas.noise(1.0),
        HAEM: rng.uniform(0.1, 0.35) + 0.5 * ripe,
        AZURE: 0.14 - 0.12 * ripe,
    }
    azure = _chromatin(canvas, nucleus, 0.95 + 0.3 * ripe, 1.0, 0.4 * (1 - 0.8 * ripe))
    return _finish(canvas, _body(canvas, radius, 0.2), cytoplasm, nucleus, azure)


def blast(rng: Random, px_per_um: float) -> Cell:
    """A large nucleus of fine chromatin, up to four pale nucleoli, dented in some; a narrow deep-blue rim."""
    radius = rng.uniform(5.0, 8.2)
    canvas = Canvas(rng, radius * 1.4, px_per_um, 0.45)
    size = radius * rng.uniform(0.76, 0.9)
    nucleus = canvas.ellipse(((radius - size) * 0.6, 0), (size, size * rng.uniform(0.85, 1)))
    if rng.random() < 0.3:
        nucleus = _dented(canvas, nucleus, size * rng.uniform(1.0, 1.4), size)
    pale = _holes(canvas, int(rng.integers(0, 5)), size * 0.6, (0.4, 1.1))
    canvas.bend(5.0)
    contrast = np.float32(rng.uniform(0.15, 0.5))
    few = canvas.granules(0.2, 0.2) * (0.35 if rng.random() < 0.5 else 0.0)
    cytoplasm: Amounts = {
        BLUE: rng.uniform(0.35, 1.0) + 0.12 * canvas.noise(1.0),
        AZURE: rng.uniform(0.1, 0.25) + few,
    }
    density, clump = rng.uniform(0.55, 0.9), rng.uniform(0.4, 0.8)
    azure = _chromatin(canvas, nucleus, density, clump, rng.uniform(0.14, 0.24))
    cell = _finish(canvas, _body(canvas, radius), cytoplasm, nucleus, azure * (1 - contrast * (1 - pale)))
    cell.stains[BLUE] += 0.3 * (1 - pale) * canvas.cover(nucleus)
    return cell


def platelet(rng: Random, px_per_um: float) -> Cell:
    """A granular fragment of two or three µm; a neighbour, never the cell to be classified."""
    radius = rng.uniform(0.8, 1.6)
    canvas = Canvas(rng, radius * 1.6, px_per_um, 0.25)
    body = _body(canvas, radius, 0.3)
    granules = canvas.granules(3, 0.22) * rng.uniform(0.3, 0.8)
    cytoplasm: Amounts = {BLUE: 0.25, EOSIN: 0.12, AZURE: 0.2 + granules}
    return _finish(canvas, body, cytoplasm, body - 99, np.zeros(canvas.shape, np.float32))


RECIPES: dict[str, Callable[[Random, float], Cell]] = {
    "NGS": segmented_neutrophil,
    "NGB": band_neutrophil,
    "LYT": lymphocyte,
    "MON": monocyte,
    "EOS": eosinophil,
    "BAS": basophil,
    "EBO": erythroblast,
    "BLA": blast,
}


def _body(canvas: Canvas, radius: float, oval: float = 0.12, off: float = 0.0) -> Field:
    """Outline of a cell body: nearly round, stretched by up to the share `oval`, `off` the middle."""
    stretch = 1 + canvas.rng.uniform(0, oval)
    return canvas.ellipse((off, 0), (radius * stretch, radius / stretch))


def _chromatin(canvas: Canvas, nucleus: Field, density: float, clump: float, contrast: float) -> Field:
    """Azure amounts of a nucleus with a dark membrane; `clump` is the size of the texture's grain."""
    grain = np.tanh(canvas.noise(clump) + canvas.noise(clump / 2))
    membrane = np.exp(-np.square(nucleus / 0.28)) * np.float32(0.18)
    amount: Field = np.maximum(density * (1 + contrast * grain) + membrane, 0.1)
    return amount * canvas.cover(nucleus)


def _finish(canvas: Canvas, body: Field, cytoplasm: Amounts, nucleus: Field, azure: Field) -> Cell:
    """Lay the nucleus, given by its outline and its azure, into the cytoplasm and cut both by the body."""
    inside = canvas.cover(body)
    stains = np.zeros((4, *canvas.shape), np.float32)
    uncovered = inside * (1 - 0.75 * canvas.cover(nucleus))
    for stain, amount in cytoplasm.items():
        stains[stain] = amount * uncovered
    stains[AZURE] += azure * inside
    return Cell(stains, inside, math.sqrt(inside.sum() / np.pi) / canvas.px_per_um)


def _holes(canvas: Canvas, count: int, reach: float, radius: tuple[float, float]) -> Field:
    """What `count` round holes within `reach` of the middle leave: 1 outside them, nearly 0 inside."""
    left = np.ones(canvas.shape, np.float32)
    for _ in range(count):
        angle, away = canvas.rng.uniform(0, 2 * np.pi), reach * math.sqrt(canvas.rng.uniform(0.1, 1))
        size = canvas.rng.uniform(*radius)
        hole = canvas.ellipse((away * math.cos(angle), away * math.sin(angle)), (size, size))
        left *= 1 - 0.85 * canvas.cover(hole)
    return left


def _lobes(canvas: Canvas, count: int, area: float, bridge: float, room: float) -> Field:
    """Outline of `count` lobes in a row that curls like a C, S or E within `room` of the middle.

    `area` is that of all lobes in µm², `bridge` the half width of what joins them.
    """
    rng = canvas.rng
    size = math.sqrt(area / count / np.pi)
    turns = rng.choice([-1, 1]) * rng.uniform(0.4, 1.4, count - 1)
    heading = np.cumsum(np.where(rng.random(count - 1) < 0.15, -turns, turns))
    steps = size * rng.uniform(1.9, 2.5, count - 1) * np.array([np.cos(heading), np.sin(heading)])
    centers = np.concatenate([np.zeros((2, 1)), np.cumsum(steps, axis=1)], axis=1).T
    centers -= centers.mean(axis=0)
    centers *= min(1.0, (room - size) / np.hypot(*centers.T).max())
    nucleus = np.full(canvas.shape, -99, np.float32)
    for x, y in centers:
        long = size * rng.uniform(0.9, 1.3)
        nucleus = union(nucleus, canvas.ellipse((x, y), (long, size * size / long), rng.uniform(0, np.pi)))
    for (x, y), end in pairwise(centers):
        nucleus = union(nucleus, canvas.rod((x, y), (end[0], end[1]), bridge), 0.3)
    return nucleus


def _bow(canvas: Canvas, radius: float, opening: float, width: tuple[float, float]) -> Field:
    """Outline of an arc of `radius`, open over `opening` radians; half width at its ends and in its middle."""
    angles = np.linspace(opening / 2, 2 * np.pi - opening / 2, 9)
    path = [(radius * math.cos(a) + radius * 0.35, radius * math.sin(a)) for a in angles]
    nucleus = np.full(canvas.shape, -99, np.float32)
    for i in range(8):
        # The ends bulge, as they do in a band cell on its way to becoming segmented.
        half_width = width[1] + (width[0] - width[1]) * ((2 * i - 7) / 7) ** 2
        nucleus = union(nucleus, canvas.rod(path[i], path[i + 1], half_width), 0.5)
    return nucleus


def _folded(canvas: Canvas, size: float, off: float) -> Field:
    """Outline of a monocyte's nucleus: a thick horseshoe, or an oval with a dent of any depth."""
    rng = canvas.rng
    if rng.random() < 0.3:
        return _bow(canvas, size * 0.55, rng.uniform(1.8, 2.8), (size * 0.48, size * 0.4))
    oval = canvas.ellipse((off, 0), (size * 1.1, size * rng.uniform(0.85, 1)), rng.uniform(0, 3))
    return _dented(canvas, oval, size * rng.uniform(0.9, 1.6) - off, size)


def _dented(canvas: Canvas, nucleus: Field, away: float, size: float) -> Field:
    """Press a dent whose middle is `away` from the origin into a nucleus of radius `size`."""
    return -union(-nucleus, canvas.ellipse((-away, 0), (size * 0.55, size * 0.4)), 1.2)
