"""Decode uploaded images without trusting them, and encode small JPEGs for the browser."""

import io
import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from workers.ml.clean import cleaned

FORMATS: Final = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
MAX_PIXELS: Final = 50_000_000
MIN_SIDE: Final = 8
MAX_RATIO: Final = 20
THUMBNAIL: Final = 168  # pixels: the largest tile of the grid
WHITE: Final = 245
"""What the empty background becomes when white is balanced; a little below the end of the scale."""
MAX_GAIN: Final = 2.5

Pixels = npt.NDArray[np.uint8]
"""An RGB image, uint8, shape (height, width, 3)."""

# Set once at import: both are process-wide, so changing them per call would not be thread-safe.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

_OTHER_TYPES: Final = {
    b"GIF8": "GIF",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
    b"8BPS": "Photoshop",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"<svg": "SVG",
    b"<?xml": "XML or SVG",
}
_OUR_TYPES: Final = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\x00", b"MM\x00*", b"RIFF")


class BadImage(ValueError):
    """A file that cannot become a cell image; `reason` says why to the person who sent it."""

    def __init__(self, reason: str, **values: Any) -> None:
        super().__init__(reason % values)
        self.reason = reason % values


@dataclass(frozen=True)
class DecodedImage:
    """`pixels` is uint8 RGB, (height, width, 3); `format` is Pillow's name, such as "JPEG"."""

    pixels: Pixels
    format: str


@dataclass(frozen=True)
class CheckedImage:
    """What is kept of an image that could be decoded: a file of its pixels and nothing else (see `cleaned`), Pillow's
    name of that file's format, its size, a small JPEG of it."""

    clean: bytes
    format: str
    width: int
    height: int
    thumbnail: bytes


def check(data: bytes) -> CheckedImage:
    """Decode a file as `decode` does, for what is kept of it; cheaper, because no array is made.

    The thumbnail is the whole frame, shrunk by the largest whole number that leaves THUMBNAIL pixels on the longer
    side, so at most twice that: averaging whole pixels is sharp, and five times faster than resampling to an exact
    size, which would cost as much as decoding. Raises BadImage with the reason.
    """
    image, kind = _decoded(data)
    small = image.reduce(max(1, max(image.size) // THUMBNAIL))
    clean, clean_kind = cleaned(data, kind, image)
    return CheckedImage(clean, clean_kind, image.width, image.height, _jpeg(small, quality=82))


def decode(data: bytes) -> DecodedImage:
    """Decode one JPEG, PNG, BMP, TIFF or WebP file to 8-bit RGB; raise BadImage with the reason.

    Size, shape and number of frames are checked on the header, before any pixel is decoded. An
    EXIF orientation is not applied: a cell has no upright position, cameras on microscopes set the
    tag at random, and boxes drawn on the stored pixels must keep fitting. 16-bit images are scaled
    by their bit depth; transparency is laid over white, as the empty glass of a slide is.
    """
    image, kind = _decoded(data)
    # A copy, since the array would otherwise be a read-only view that keeps the Pillow image alive.
    return DecodedImage(np.array(image), kind)


def white_gains(pixels: Pixels, percentile: float) -> npt.NDArray[np.float32]:
    """Return the factor (3,) of each channel that makes its `percentile` WHITE, the empty background.

    Channels are multiplied as another lamp would (von Kries 1902), at most by MAX_GAIN: an image without background
    stays dark.
    """
    counts = [np.bincount(channel.ravel(), minlength=256).cumsum() for channel in np.moveaxis(pixels[::4, ::4], 2, 0)]
    background = [max(1, int(np.searchsorted(c, percentile / 100 * c[-1]))) for c in counts]
    return np.clip(WHITE / np.array(background, np.float32), 1 / MAX_GAIN, MAX_GAIN)


def white_balanced(pixels: Pixels, percentile: float) -> Pixels:
    """Balance the white of (h, w, 3), see `white_gains`."""
    return multiplied(pixels, white_gains(pixels, percentile))


def multiplied(pixels: Pixels, gains: npt.NDArray[np.float32]) -> Pixels:
    """Multiply pixels of any shape by the gains, which broadcast to them, rounded and clipped."""
    product = pixels * gains
    product += np.float32(0.5)
    return np.clip(product, 0, 255, out=product).astype(np.uint8)


def to_jpeg(pixels: Pixels) -> bytes:
    """Return the frame at full size as a JPEG (quality 92) without any metadata of the original."""
    return _jpeg(Image.fromarray(pixels), quality=92)


def _decoded(data: bytes) -> tuple[Image.Image, str]:
    """Return the file as an RGB image without metadata, and the name of its format. Raises BadImage."""
    try:
        image = _open(data)
        _check(image)
        image.load()
        return _to_rgb(image), image.format or ""
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large() from None
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Exception as error:  # noqa: BLE001 - on damaged files Pillow raises nearly every type
        raise _damaged(error) from None


def _open(data: bytes) -> Image.Image:
    if not data:
        raise BadImage("not an image: the file is empty")
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _check(image: Image.Image) -> None:
    """Refuse by what the header says; decodes nothing."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large()
    if min(width, height) < MIN_SIDE:
        raise BadImage(
            "smaller than %(least)s pixels: %(width)s x %(height)s", least=MIN_SIDE, width=width, height=height
        )
    if max(width, height) > MAX_RATIO * min(width, height):
        raise BadImage(
            "far too elongated for a cell or field: %(width)s x %(height)s pixels", width=width, height=height
        )
    if getattr(image, "n_frames", 1) > 1:
        raise BadImage("animated or of several pages: send each picture as a file of its own")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"F", "LAB", "HSV"}:
        raise BadImage("wrong type: %(mode)s pixels; save as 8-bit or 16-bit RGB or grey", mode=image.mode)
    if image.mode.startswith("I"):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", image.size, "white")
        image.alpha_composite(layer)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    rgb.info = {}  # Pillow would write comments of the original into files made from it
    return rgb


def _eight_bits(grey: npt.NDArray[np.generic]) -> Pixels:
    """Scale by the smallest usual bit depth (8, 10, 12, 14, 16) that holds the brightest pixel.

    A fixed division by 256 would turn a 12-bit camera's images almost black; stretching to the
    brightest pixel would make two images of one slide differ.
    """
    values = grey.astype(np.int64).clip(0)
    depth = max(8, int(values.max()).bit_length() + 1 & ~1)
    if depth > 16:
        raise BadImage("wrong type: more than 16 bits per pixel; save as 8-bit or 16-bit")
    return (values >> (depth - 8)).astype(np.uint8)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _too_large() -> BadImage:
    return BadImage("larger than %(most)s megapixels", most=MAX_PIXELS // 1_000_000)


def _unidentified(data: bytes) -> BadImage:
    for signature, name in _OTHER_TYPES.items():
        if data.lstrip().startswith(signature) or data.startswith(signature):
            return BadImage("wrong type: %(name)s; send JPEG, PNG, BMP, TIFF or WebP", name=name)
    if data.startswith(_OUR_TYPES):
        return BadImage("truncated or damaged: its header cannot be read")
    return BadImage("not an image (JPEG, PNG, BMP, TIFF or WebP)")


def _damaged(error: Exception) -> BadImage:
    if "truncated" in str(error).lower():
        return BadImage("truncated: the file ends before the image does")
    return BadImage("damaged: its pixels cannot be decoded")
