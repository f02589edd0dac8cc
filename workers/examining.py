"""Looks into received files: is it an image, and which cells are in it? What is kept of an image is made here."""

import hashlib
import io
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import PIL.Image

from app.storage import get_storage
from workers.archives import Member
from workers.ml.field_files import Field, field_of
from workers.ml.fields import cell_of, cells_of, diameter_of
from workers.ml.images import FORMATS, BadImage, Pixels, check
from workers.ml.pyramids import write_pyramid
from workers.ml.regions import Box
from workers.outcomes import Cut, Found

LARGE: Final = 4_000_000  # pixels; larger images are decoded one at a time, to bound memory, and shown in tiles

Result = Found | Cut | str | None

_one_large = threading.Lock()


def examine(member: Member) -> Result:
    """Check that a member is an image by decoding it, and store its thumbnail; a text is the reason of a refusal."""
    return _looked_into(member, kept)


def cut(member: Member, um_per_px: float | None) -> Result:
    """Check that a member is a field and cut out its cells; without a scale, red cells tell it."""

    def look(data: bytes, name: str) -> Cut:
        image = kept(data, name)
        field = field_of(data, um_per_px)
        diameter = diameter_of(field)
        cells = [
            kept_cell(pixels, f"{name} {number}", box)
            for number, (box, pixels) in enumerate(cells_of(field, diameter), 1)
        ]
        if field.width * field.height > LARGE:
            _store_pyramid(field, image.sha256)
        return Cut(image, diameter, cells)

    return _looked_into(member, look)


def centred(member: Member, um_per_px: float | None) -> Result:
    """Check that a member shows a cell, and cut it out: the image is the field of this one cell."""

    def look(data: bytes, name: str) -> Cut:
        image = kept(data, name)
        diameter, box, pixels = cell_of(field_of(data, um_per_px))
        return Cut(image, diameter, [kept_cell(pixels, name, box)])

    return _looked_into(member, look)


def _looked_into(member: Member, look: Callable[[bytes, str], Found | Cut]) -> Result:
    """Look into a member, large ones one at a time; returns the reason of a refusal."""
    if member.data is None:
        return member.reason
    try:
        with _one_large if _pixels(member.data) > LARGE else nullcontext():
            return look(member.data, member.name)
    except BadImage as error:
        return error.reason


def kept(data: bytes, name: str) -> Found:
    """Store the thumbnail of an image and return its pixels without what was written beside them. Raises BadImage."""
    image = check(data)
    sha256 = hashlib.sha256(image.clean).hexdigest()
    get_storage().write(f"thumbnails/{sha256}", image.thumbnail)
    received = data if image.clean != data else None
    return Found(image.clean, name, sha256, image.format, image.width, image.height, received=received)


def kept_cell(pixels: Pixels, name: str, box: Box) -> Found:
    """Return the same of a cell that was cut from a field."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return replace(kept(buffer.getvalue(), name), box=box.corners)


def _store_pyramid(field: Field, sha256: str) -> None:
    """Store a large field in tiles for who looks at it."""
    key = f"pyramids/{sha256}"
    if get_storage().exists(key):
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pyramid"
        write_pyramid(field, path)
        get_storage().write(key, path.read_bytes())


def _pixels(data: bytes) -> int:
    """Return how many pixels the header of an image announces; 0 if it cannot be read, which `check` then explains."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.width * image.height
    except Exception:  # noqa: BLE001 - Pillow raises nearly every type on hostile headers
        return 0
