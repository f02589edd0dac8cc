"""Open pictures of any size, and read parts of them with little memory.

Nothing but pixels and their size is read: labels, macro images and descriptions of a slide stay in its file.
"""

import math
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import openslide
import PIL.Image
import tifffile

from workers.ml.images import FORMATS, BadImage, Pixels, decode

TIFF: Final = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
LONGEST_STRIP: Final = 64_000_000  # pixels decoded at once of a TIFF that OpenSlide does not read


class Field(Protocol):
    """A picture of part of a smear, of any size."""

    width: int
    height: int
    um_per_px: float | None

    def read(self, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part of the picture (height, width, 3)."""


def is_slide(path: Path) -> bool:
    """Say whether a file is a slide that is read in tiles: one that OpenSlide knows, or a TIFF of several pictures or
    with more pixels than are decoded at once."""
    if openslide.OpenSlide.detect_format(path):
        return True
    with path.open("rb") as file:
        if file.read(4) not in TIFF:
            return False
    try:
        with PIL.Image.open(path, formats=FORMATS) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # noqa: BLE001 - too large, of an unusual kind, or damaged: `open_field` says which
        return True


def open_field(path: Path, um_per_px: float | None = None) -> Field:
    """Open a picture: slides (see `is_slide`) by parts, anything else at once; `um_per_px` wins over what a slide says.

    Raises BadImage with the reason.
    """
    return open_slide(path, um_per_px) if is_slide(path) else field_of(path.read_bytes(), um_per_px)


def field_of(data: bytes, um_per_px: float | None = None) -> Field:
    """Decode a picture of at most 50 megapixels. Raises BadImage with the reason."""
    return Decoded(decode(data).pixels, um_per_px)


class Decoded:
    """A picture (height, width, 3) in memory."""

    def __init__(self, pixels: Pixels, um_per_px: float | None = None) -> None:
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]
        self.um_per_px = um_per_px

    def read(self, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part."""
        return self.pixels[top : top + height, left : left + width]


def open_slide(path: Path, um_per_px: float | None = None) -> Field:
    """Open what `is_slide`. Raises BadImage with the reason."""
    try:
        known = openslide.OpenSlide.detect_format(path)
        field: Field = _Slide(openslide.OpenSlide(path)) if known else _Tiff(path)
    except openslide.OpenSlideError as error:
        raise BadImage("damaged: %(error)s", error=error) from error
    except (tifffile.TiffFileError, IndexError, OSError, ValueError) as error:
        if isinstance(error, BadImage):
            raise
        raise BadImage("damaged: this TIFF cannot be read") from error
    field.um_per_px = um_per_px or field.um_per_px
    return field


class _Slide:
    def __init__(self, slide: openslide.OpenSlide) -> None:
        self.slide = slide
        self.width, self.height = slide.dimensions
        found = slide.properties.get(openslide.PROPERTY_NAME_MPP_X)
        self.um_per_px = float(found) if found else None

    def read(self, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part; what the scanner did not scan is white."""
        try:
            part = np.asarray(self.slide.read_region((left, top), 0, (width, height)))
        except openslide.OpenSlideError as error:
            raise BadImage("damaged: %(error)s", error=error) from error
        return np.where(part[..., 3:] > 0, part[..., :3], np.uint8(255))


class _Tiff:
    """The first picture of a TIFF as tifffile reads it, such as OME-TIFF: 8-bit RGB in tiles or strips."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with tifffile.TiffFile(path) as file:
            page = file.series[0].levels[0].keyframe
            if not isinstance(page, tifffile.TiffPage):
                raise BadImage("damaged: this TIFF cannot be read")
            self.page, self.tables = page, page.jpegtables
            self.places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        if page.dtype != np.uint8 or page.samplesperpixel < 3 or page.planarconfig != 1 or page.imagedepth != 1:
            raise BadImage("a TIFF that is not 8-bit RGB with its colours together; export it as RGB")
        self.segment = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        if math.prod(self.segment) > LONGEST_STRIP:
            raise BadImage("too large to be read at once, and not a slide in tiles")
        self.width, self.height = page.imagewidth, page.imagelength
        self.um_per_px = self._um_per_px()

    def _um_per_px(self) -> float | None:
        """Return the scale that the resolution tags tell, if they do in a unit of length."""
        per_px = {2: 25_400.0, 3: 10_000.0}.get(self.page.resolutionunit)
        across = self.page.resolution[0]
        found = per_px / across if per_px and across else None
        return found if found and 0.02 < found < 5 else None  # others are those of a printer

    def read(self, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part; what is not stored is white."""
        part = np.full((height, width, 3), 255, np.uint8)
        down, across = self.segment
        columns = -(-self.width // across)
        for row in range(top // down, -(-(top + height) // down)):
            for column in range(left // across, -(-(left + width) // across)):
                pixels = self._decoded(row * columns + column)
                if pixels is not None:
                    _paste(part, pixels, column * across - left, row * down - top)
        return part

    def _decoded(self, index: int) -> Pixels | None:
        offset, size = self.places[index]
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        try:
            pixels, _place, _shape = self.page.decode(data, index, jpegtables=self.tables)
        except Exception as error:  # codecs raise nearly every type on damaged data
            raise BadImage("damaged: its pixels cannot be decoded") from error
        return None if pixels is None else pixels[0, ..., :3]


def _paste(part: Pixels, pixels: Pixels, left: int, top: int) -> None:
    """Lay pixels onto a part at a place that may begin outside of it."""
    pixels = pixels[max(0, -top) :, max(0, -left) :]
    left, top = max(0, left), max(0, top)
    pixels = pixels[: part.shape[0] - top, : part.shape[1] - left]
    part[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
