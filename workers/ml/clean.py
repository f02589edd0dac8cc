"""Drop from an image file everything that is no pixel: what cameras and scanners write beside them can name a patient.

JPEG and PNG lose the parts of their files that no decoder needs, their pixels are untouched to the last bit. Other
formats hide text in more places than can be listed, so their decoded pixels are written into a new PNG.
"""

import io
import re
from collections.abc import Iterator
from typing import Final

from PIL import Image

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_SOI, _EOI, _SOS, _APP0, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE
# Tables, frames, restart intervals and arithmetic conditioning; not APPn, comments or expansions (T.81, table B.1).
_JPEG_NEEDED: Final = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD, _SOS}) - {0xC8}
_JFIF: Final = b"JFIF\x00"
_JFIF_BYTES: Final = 12  # up to the size of its thumbnail
_ADOBE: Final = b"Adobe"
_ADOBE_BYTES: Final = 12  # all of it, its last byte names the colour space
# The end of entropy-coded data: a marker that is neither a stuffed byte nor a restart (T.81, B.1.1.5), after any fill.
_MARKER: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")


def cleaned(data: bytes, kind: str, image: Image.Image) -> tuple[bytes, str]:
    """Return a file with the pixels of `data` and nothing else, and the name of its format.

    `kind` is Pillow's name of the format of `data`, `image` what it decodes to in RGB. Files with nothing to drop come
    back as they are.
    """
    clean = None
    if kind == "JPEG":
        clean = _clean_jpeg(data)
    elif kind == "PNG":
        clean = _clean_png(data)
    if clean is not None:
        return data if clean == data else clean, kind
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), "PNG"


def _clean_png(data: bytes) -> bytes | None:
    kept, place = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        name = data[place + 4 : place + 8]
        if name in _PNG_CHUNKS:
            kept.append(data[place:end])
        if name == b"IEND":
            return b"".join(kept)
        place = end
    return None


def _clean_jpeg(data: bytes) -> bytes | None:
    kept, complete = [b"\xff\xd8"], False
    for marker, segment in _jpeg_segments(data):
        if marker == _APP0 and segment[4:].startswith(_JFIF):
            kept.append(_segment(marker, segment[4 : 4 + _JFIF_BYTES] + b"\x00\x00"))
        elif marker == _APP14 and segment[4:].startswith(_ADOBE):
            kept.append(_segment(marker, segment[4 : 4 + _ADOBE_BYTES]))
        elif marker in _JPEG_NEEDED:
            kept.append(segment)
        complete = complete or marker == _EOI
    return b"".join([*kept, b"\xff\xd9"]) if complete else None


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2) + payload


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each marker with its whole segment, of a scan with its data; ends after the first image of the file."""
    place = 2
    while found := _MARKER.match(data, place):
        place, marker = found.end(), data[found.end() - 1]
        if marker == _EOI:
            yield marker, b""
            return
        if marker == _SOI:
            return
        end = place + int.from_bytes(data[place : place + 2])
        if marker == _SOS:
            following = _MARKER.search(data, end)
            if following is None:
                return
            end = following.start()
        yield marker, b"\xff" + data[place - 1 : end]
        place = end
