"""Tiles of fields for the browser, at every size from one pixel to all of them (the Deep Zoom scheme).

Whole slides are pyramids in storage, and large fields have one beside their image (workers.ml.pyramids); small fields
are decoded.
"""

import io
import threading
from functools import lru_cache
from pathlib import Path
from typing import Final

import PIL.Image
from openslide import ImageSlide, OpenSlide
from openslide.deepzoom import DeepZoomGenerator

from app.cells.pictures import decoded
from app.errors import NotFound
from app.language import _
from app.models import Image
from app.storage import get_storage

TILE: Final = 254  # and one pixel of the neighbours on each side, so that no seam shows
OVERLAP: Final = 1
OPEN: Final = 4  # pictures kept open
QUALITY: Final = 85

_opening = threading.Lock()


def tile(image: Image, level: int, column: int, row: int) -> bytes:
    """Return a tile as JPEG. Raises NotFound where there is none, FileNotFoundError if the picture is gone."""
    picture = _picture(image)
    if not 0 <= level < picture.level_count:
        raise NotFound(_("The field has no such tile."))
    columns, rows = picture.level_tiles[level]
    if column >= columns or row >= rows:
        raise NotFound(_("The field has no such tile."))
    return _jpeg(picture.get_tile(level, (column, row)))


def _picture(image: Image) -> DeepZoomGenerator:
    key = f"images/{image.sha256}" if image.format == "TIFF" else f"pyramids/{image.sha256}"
    storage = get_storage()
    if image.format == "TIFF" or storage.exists(key):
        return _pyramid(storage.local_path(key))  # raises where the file is gone, though it may be open still
    if not storage.exists(f"images/{image.sha256}"):
        raise FileNotFoundError(image.sha256)
    with _opening:
        return _decoded(image.sha256, image.width, image.height)


@lru_cache(OPEN)
def _pyramid(path: Path) -> DeepZoomGenerator:
    return DeepZoomGenerator(OpenSlide(path), TILE, OVERLAP)


@lru_cache(1)  # those that are large and came before large fields had pyramids fill much memory
def _decoded(sha256: str, width: int, height: int) -> DeepZoomGenerator:
    image = Image(sha256=sha256, width=width, height=height)
    return DeepZoomGenerator(ImageSlide(decoded(image, max(width, height))), TILE, OVERLAP)


def _jpeg(picture: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
