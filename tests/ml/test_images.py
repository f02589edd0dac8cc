"""Whatever bytes arrive, decoding gives an RGB image or says in plain words why not."""

import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from workers.ml.images import MAX_PIXELS, BadImage, check, decode, to_jpeg

FORMATS = ["JPEG", "PNG", "BMP", "TIFF", "WEBP"]


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    values = np.linspace(0, 255, size[0] * size[1] * 3).astype(np.uint8).reshape(size[1], size[0], 3)
    return Image.fromarray(values).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reason(data: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode(data)
    return caught.value.reason


@pytest.mark.parametrize("kind", FORMATS)
def test_each_allowed_format_becomes_rgb(kind):
    decoded = decode(encoded(picture(), kind))
    assert decoded.format == kind
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape == (30, 40, 3)
    assert np.abs(decoded.pixels.astype(int) - np.asarray(picture())).mean() < 12


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("LA", "PNG"), ("CMYK", "TIFF")]
)
def test_other_colour_modes_keep_their_look(mode, kind):
    image = picture("RGBA" if mode == "LA" else "RGB").convert(mode)
    pixels = decode(encoded(image, kind)).pixels
    assert np.abs(pixels.astype(int) - np.asarray(image.convert("RGB"))).mean() < 4


def test_transparency_is_white():
    image = Image.new("RGBA", (20, 20), (200, 0, 0, 0))
    assert (decode(encoded(image, "PNG")).pixels == 255).all()


@pytest.mark.parametrize(("brightest", "kind"), [(4095, "PNG"), (65535, "TIFF"), (1023, "PNG"), (255, "TIFF")])
def test_deep_grey_images_are_scaled_by_bit_depth(brightest, kind):
    values = np.linspace(0, brightest, 400).astype(np.uint16).reshape(20, 20)
    pixels = decode(encoded(Image.fromarray(values), kind)).pixels
    assert pixels[0, 0, 0] == 0
    assert pixels[-1, -1, 0] == 255


def test_floating_point_pixels_are_refused():
    image = Image.fromarray(np.zeros((20, 20), np.float32))
    assert "8-bit" in reason(encoded(image, "TIFF"))


def test_orientation_tag_does_not_turn_the_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(picture(), "JPEG", exif=exif.tobytes())).pixels.shape == (30, 40, 3)


def test_refusals_name_the_reason_and_good_files_pass():
    frames = [picture(), picture().rotate(180)]
    assert "animated" in reason(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    assert "pages" in reason(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    assert "animated" in reason(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    assert "wrong type: GIF" in reason(encoded(picture(), "GIF"))
    assert "wrong type: PDF" in reason(b"%PDF-1.7 ...")
    assert "not an image" in reason(b"accession,scanner\n")
    assert "empty" in reason(b"")
    assert "truncated" in reason(encoded(picture(size=(200, 200)), "JPEG")[:1500])
    assert "truncated" in reason(encoded(picture(), "PNG")[:20])
    assert "smaller" in reason(encoded(picture(size=(40, 7)), "PNG"))
    assert "elongated" in reason(encoded(picture(size=(410, 20)), "PNG"))
    assert decode(encoded(picture(size=(400, 20)), "PNG")).pixels.shape == (20, 400, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing: what a decompression bomb starts with."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [7_072, 9_000, 30_000, 2**31 - 1])
@pytest.mark.parametrize("filters", ["error", "ignore"])
def test_too_many_pixels_are_refused_before_decoding(side, filters):
    with warnings.catch_warnings():
        warnings.simplefilter(filters)
        assert reason(png_header(side, side)) == f"larger than {MAX_PIXELS // 10**6} megapixels"


SEEDS = [encoded(picture(), kind) for kind in FORMATS] + [
    encoded(picture(), "TIFF", compression="tiff_lzw"),
    encoded(picture(), "TIFF", compression="jpeg"),
    encoded(picture("P"), "PNG", transparency=b"\x00\x80"),
    encoded(picture("CMYK"), "JPEG"),
]


@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
    head=st.lists(st.tuples(st.integers(0, 63), st.integers(0, 255)), max_size=4),
    cut=st.floats(0.02, 1),
    extra=st.binary(max_size=16),
)
def test_mutated_files_decode_or_are_bad_images(data, edits, head, cut, extra):
    mutated = bytearray(data[: int(len(data) * cut)] + extra)
    for place, value in edits:
        mutated[int(place * (len(mutated) - 1))] = value
    for place, value in head:
        mutated[place % len(mutated)] = value
    with contextlib.suppress(BadImage):
        decoded = decode(bytes(mutated))
        assert decoded.pixels.ndim == 3
        assert decoded.pixels.size <= 3 * MAX_PIXELS


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_random_bytes_are_bad_images(data):
    with pytest.raises(BadImage):
        decode(data)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((40, 30), (40, 30)), ((335, 20), (335, 20)), ((336, 300), (168, 150)), ((1000, 500), (200, 100))],
)
def test_thumbnail_shows_the_whole_frame_and_never_enlarges(size: tuple[int, int], shown: tuple[int, int]):
    original = encoded(picture(size=size), "PNG")
    checked = check(original)
    assert (checked.format, checked.width, checked.height) == ("PNG", *size)
    small = decode(checked.thumbnail).pixels
    assert small.shape == (shown[1], shown[0], 3)
    assert np.abs(small.mean((0, 1)) - decode(original).pixels.mean((0, 1))).max() < 6


def test_reencoded_image_has_no_metadata():
    exif = Image.Exif()
    exif[0x010E] = "patient name"
    original = encoded(picture(), "JPEG", exif=exif.tobytes())
    assert b"patient name" in original
    clean = to_jpeg(decode(original).pixels)
    assert b"patient name" not in clean
    assert decode(clean).pixels.shape == (30, 40, 3)
