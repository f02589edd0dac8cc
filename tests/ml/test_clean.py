"""What is kept of an image has the pixels of what came, to the last bit, and nothing of what was beside them."""

import io
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL.PngImagePlugin import PngInfo

from workers.ml.images import check, decode

SECRET = "Meier, Anna *1961-04-12"
COMPRESSED = zlib.compress(SECRET.encode())


def noise(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> PIL.Image.Image:
    bands = len(PIL.Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], bands)).astype(np.uint8)
    return PIL.Image.fromarray(pixels.squeeze(), mode if bands > 1 else None).convert(mode)


def saved(kind: str, image: PIL.Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or noise()).save(buffer, kind, **options)
    return buffer.getvalue()


def exif() -> bytes:
    tags = PIL.Image.Exif()
    tags[0x010E] = tags[0x013B] = tags[0x8298] = SECRET  # description, artist, copyright
    return tags.tobytes()


def icc() -> bytes:
    """A profile whose description is the secret: header, one tag of type `desc` (ICC.1:2001-04, 6.5.17)."""
    text = b"desc\0\0\0\0" + (len(SECRET) + 1).to_bytes(4) + SECRET.encode() + b"\0" * 79
    table = (1).to_bytes(4) + b"desc" + (144).to_bytes(4) + len(text).to_bytes(4)
    header = bytearray(128)
    header[0:4], header[12:24], header[36:40] = (144 + len(text)).to_bytes(4), b"mntrRGB XYZ ", b"acsp"
    return bytes(header) + table + text


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2) + payload


def jpeg(**options: Any) -> bytes:
    """A JPEG with the secret in every place a JPEG has for it."""
    data = saved("JPEG", exif=exif(), icc_profile=icc(), comment=SECRET, **options)
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + SECRET.encode() + b"</x:xmpmeta>")
    iptc = segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04" + SECRET.encode())
    thumbnail = segment(0xE0, b"JFXX\x00\x10" + saved("JPEG", comment=SECRET))
    app0 = 2 + 2 + int.from_bytes(data[4:6])
    return data[:app0] + thumbnail + xmp + iptc + data[app0:] + SECRET.encode()


def png(**options: Any) -> bytes:
    text = PngInfo()
    text.add_text("Comment", SECRET)
    text.add_text("Author", SECRET, zip=True)
    text.add_itxt("Title", SECRET, zip=True)
    return saved("PNG", pnginfo=text, exif=exif(), icc_profile=icc(), **options) + SECRET.encode()


def tiff(**options: Any) -> bytes:
    ome = f'<?xml version="1.0"?><OME><Image Name="{SECRET}"/></OME>'
    tags = {270: ome, 315: SECRET, 305: SECRET, 700: SECRET.encode(), 33432: SECRET}
    return saved("TIFF", tiffinfo=tags, icc_profile=icc(), **options) + SECRET.encode()


FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": jpeg,
    "progressive": lambda: jpeg(progressive=True, subsampling=0, quality=95),
    "restarts": lambda: jpeg(restart_marker_blocks=1),
    "grey": lambda: jpeg(image=noise("L")),
    "cmyk": lambda: saved("JPEG", noise("CMYK"), exif=exif(), comment=SECRET),
    "png": png,
    "palette": lambda: png(image=noise().quantize(16)),
    "transparent": lambda: png(image=noise("RGBA")),
    "tiff": tiff,
    "lzw": lambda: tiff(compression="tiff_lzw"),
    "webp": lambda: saved("WEBP", exif=exif(), xmp=SECRET.encode(), icc_profile=icc()),
    "bmp": lambda: saved("BMP") + SECRET.encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_only_pixels_are_kept(name: str) -> None:
    data = FILES[name]()
    assert SECRET.encode() in data
    kept = check(data)
    assert kept.format == {"tiff": "PNG", "lzw": "PNG", "webp": "PNG", "bmp": "PNG"}.get(
        name, "PNG" if data[:4] == b"\x89PNG" else "JPEG"
    )
    np.testing.assert_array_equal(decode(kept.clean).pixels, decode(data).pixels)
    for found in (kept.clean, kept.thumbnail):
        assert SECRET.encode() not in found
        assert COMPRESSED not in found
        assert SECRET.encode("utf-16-le") not in found
        with PIL.Image.open(io.BytesIO(found)) as image:
            assert not dict(image.getexif())
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe"} | {
                "adobe_transform", "progressive", "progression", "transparency",
            }  # fmt: skip
    assert check(kept.clean).clean == kept.clean


def test_a_file_with_nothing_to_drop_stays_itself() -> None:
    for kind in ("JPEG", "PNG"):
        data = saved(kind)
        assert check(data).clean is data


def test_a_jpeg_nobody_understands_becomes_a_png() -> None:
    """Text between two segments, as no encoder writes it and every decoder skips it."""
    data = saved("JPEG")
    odd = data[:20] + SECRET.encode() + data[20:]
    kept = check(odd)
    assert kept.format == "PNG"
    assert SECRET.encode() not in kept.clean
