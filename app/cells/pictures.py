"""Pictures of cells for the browser: made anew from pixels, so that nothing hidden in an original reaches anybody.

Only originals that a worker has decoded and checked are opened here.
"""

import io
import threading
from collections.abc import Sequence
from contextlib import nullcontext

import PIL.Image
from openslide import OpenSlide

from app.models import Image
from app.storage import get_storage

# These two as in workers.ml.images, which the web process may not import.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
THUMBNAIL = 168  # pixels
LONGEST = 2048  # pixels of a side; fields are larger, and nobody's screen shows more
LOSSLESS_PIXELS = 1_000_000  # up to this size a lossless original is shown lossless
LARGE_PIXELS = 4_000_000  # decoded one at a time, to bound memory
END_OF_JPEG = b"\xff\xd9"

_one_large = threading.Lock()


def thumbnail(image: Image) -> bytes:
    """Return the thumbnail as a JPEG; made again if it was lost, since it is stored without waiting for the disk.
    Raises FileNotFoundError if the image is lost too."""
    storage = get_storage()
    key = f"thumbnails/{image.sha256}"
    try:
        data = storage.read(key)
    except FileNotFoundError:
        data = b""
    if not data.endswith(END_OF_JPEG):  # a power cut can leave an empty or half a file
        storage.delete(key)
        picture = decoded(image, THUMBNAIL)
        data = _encode(picture.reduce(max(1, max(picture.size) // THUMBNAIL)), "JPEG", 82)
        storage.write(key, data)
    return data


def full_size(image: Image) -> tuple[bytes, str]:
    """Return the picture, at most LONGEST pixels a side, and its media type. Raises FileNotFoundError."""
    picture = decoded(image, LONGEST)
    picture.thumbnail((LONGEST, LONGEST), PIL.Image.Resampling.BILINEAR)
    if image.format != "JPEG" and image.width * image.height <= LOSSLESS_PIXELS:
        return _encode(picture, "PNG"), "image/png"
    return _encode(picture, "JPEG", 92), "image/jpeg"


def surroundings(field: Image, box: Sequence[int], side: float) -> bytes:
    """Return a JPEG of what lies in a square of `side` pixels around a box (left, top, right, bottom) of a field.

    Raises FileNotFoundError.
    """
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    left, top = max(0, round(x - side / 2)), max(0, round(y - side / 2))
    right, bottom = min(field.width, round(x + side / 2)), min(field.height, round(y + side / 2))
    if field.format == "TIFF":  # a whole slide
        with OpenSlide(get_storage().local_path(f"images/{field.sha256}")) as slide:
            part = slide.read_region((left, top), 0, (right - left, bottom - top)).convert("RGB")
    else:
        part = decoded(field, max(field.width, field.height)).crop((left, top, right, bottom))
    part.thumbnail((LONGEST // 2, LONGEST // 2), PIL.Image.Resampling.BILINEAR)
    return _encode(part, "JPEG", 88)


def decoded(image: Image, least: int) -> PIL.Image.Image:
    """Decode an original to 8-bit RGB; a JPEG perhaps already smaller, but not below `least` pixels a side."""
    with _one_large if image.width * image.height > LARGE_PIXELS else nullcontext():
        data = get_storage().read(f"images/{image.sha256}")
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as original:
            original.draft("RGB", (least, least))
            return _rgb(original)


def _rgb(original: PIL.Image.Image) -> PIL.Image.Image:
    """Lay transparency over white and scale 16-bit grey by its bit depth, as the encoder sees them."""
    if original.mode.startswith("I"):
        grey = original.convert("I")
        brightest = int(grey.getextrema()[1])  # type: ignore[arg-type]
        depth = max(8, brightest.bit_length() + 1 & ~1)
        original = grey.point(lambda value: value * (1 / (1 << (depth - 8)))).convert("L")
    rgb = PIL.Image.new("RGB", original.size, "white")  # a new image carries none of the original's metadata
    if original.has_transparency_data:
        layer = original.convert("RGBA")
        rgb.paste(layer, mask=layer)
    else:
        rgb.paste(original.convert("RGB"))
    return rgb


def _encode(picture: PIL.Image.Image, kind: str, quality: int = 0) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": quality} if quality else {}))
    return buffer.getvalue()
