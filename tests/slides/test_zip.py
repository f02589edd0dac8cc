"""ZIP files: what is hostile is refused in plain words, what is only odd goes through, and memory stays flat."""

import io
import stat
import struct
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from app.models import Project, Slide
from app.slides.names import LONGEST, clean_name
from tests.factories import make_slide
from tests.slides.uploading import cell_names, counts, picture, pictures, refused, upload, zipped
from workers import archives

Work = Callable[[], int]


def raw_zip(members: list[tuple[bytes, bytes]], *, flags: int = 0) -> bytes:
    """A ZIP of stored members whose names are these very bytes."""
    placeholders = [f"name{n:04}".ljust(len(name), "x")[: len(name)] for n, (name, _) in enumerate(members)]
    data = zipped([(place, content) for place, (_, content) in zip(placeholders, members, strict=True)], 0)
    for place, (name, _) in zip(placeholders, members, strict=True):
        data = data.replace(place.encode(), name)
    if flags:
        for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = data.find(signature)
            while at >= 0:
                data = data[: at + offset] + struct.pack("<H", flags) + data[at + offset + 2 :]
                at = data.find(signature, at + 1)
    return data


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite bytes at an offset from the first occurrence of a signature."""
    at = data.index(signature) + offset
    return data[:at] + value + data[at + len(value) :]


def with_symlink() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr("cell.png", picture(1))
    return buffer.getvalue()


def overlapping() -> bytes:
    """Three members of the directory that all point to the same data, as the overlap bombs do."""
    data = zipped([("a.png", picture(1)), ("b.png", picture(2)), ("c.png", picture(3))], 0)
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", data[end + 16 : end + 20])[0]
    directory = bytearray(data[start:end])
    at = 0
    for _ in range(3):
        directory[at + 42 : at + 46] = struct.pack("<I", 0)
        at += 46 + len("a.png")
    return data[:start] + bytes(directory) + data[end:]


def bomb() -> bytes:
    """Twenty members of 99 MB of zeros each: 2 GB from 2 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.bmp", bytes(1000))
    data = buffer.getvalue()
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", data[end + 16 : end + 20])[0]
    local, entry = data[:start], data[start:end]
    body, directory = b"", b""
    for _ in range(20):
        copy = patched(entry, b"PK\x01\x02", 42, struct.pack("<I", len(body)))
        directory += patched(copy, b"PK\x01\x02", 24, struct.pack("<I", 99_000_000))
        body += local
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 20, 20, len(directory), len(body), 0)
    return body + directory + tail


WHOLE = {
    "truncated.zip": (zipped(pictures(3))[:-30], "truncated or damaged: the list of files"),
    "overlap.zip": (overlapping(), "a ZIP bomb: its files overlap"),
    "bomb.zip": (bomb(), "a ZIP bomb: it would unpack to 2 GB"),
    "empty.zip": (zipped([]), "this ZIP is empty"),
    "only-folders.zip": (zipped([("a/", b""), ("__MACOSX/._x", b"")]), "this ZIP is empty"),
    "utf8.zip": (raw_zip([(b"\xff\xfe\xfa.png", picture(1))], flags=0x800), "claims to be UTF-8 but is not"),
    "far.zip": (
        patched(zipped(pictures(1)), b"PK\x01\x02", 42, struct.pack("<I", 1 << 30)),
        "names places outside of itself",
    ),
}


def test_hostile_archives_are_refused_as_one_file_and_others_go_through(
    browser: TestClient, slide: Slide, work: Work
) -> None:
    files = [(name, data) for name, (data, _) in WHOLE.items()]
    upload_id = upload(browser, slide, [*files, ("good.zip", zipped(pictures(2)))])
    work()
    assert counts(upload_id) == (2, 0, len(WHOLE))
    reasons = refused(upload_id)
    for name, (_, reason) in WHOLE.items():
        assert reason in reasons[name], name


def test_hostile_members_are_refused_and_their_neighbours_go_through(
    browser: TestClient, slide: Slide, work: Work
) -> None:
    encrypted = patched(zipped([("secret.png", picture(2))]), b"PK\x01\x02", 8, struct.pack("<H", 1))
    unusual = patched(zipped([("lzma.png", picture(3))]), b"PK\x01\x02", 10, struct.pack("<H", 14))
    lying = patched(zipped([("short.png", picture(4))]), b"PK\x01\x02", 24, struct.pack("<I", 10))
    flipped = patched(zipped([("flipped.png", picture(5))], 0), b"PNG", 30, b"XXXX")
    large = patched(zipped([("large.bmp", picture(6))]), b"PK\x01\x02", 24, struct.pack("<I", 101_000_000))
    nested = zipped([("inner.zip", zipped(pictures(1))), ("cell-7.png", picture(7))])
    archives_ = [("a", with_symlink()), ("b", encrypted), ("c", unusual), ("d", lying), ("e", flipped), ("f", large)]
    upload_id = upload(browser, slide, [*((f"{name}.zip", data) for name, data in archives_), ("n.zip", nested)])
    work()
    assert counts(upload_id) == (2, 0, 7)
    assert cell_names(slide) == ["cell.png", "cell-7.png"]
    reasons = refused(upload_id)
    assert "a link to another file" in reasons["link.png"]
    assert "encrypted" in reasons["secret.png"]
    assert "unusual method" in reasons["lzma.png"]
    assert "does not match what the ZIP says" in reasons["short.png"]
    assert "does not match what the ZIP says" in reasons["flipped.png"]
    assert "larger than 100 MB" in reasons["large.bmp"]
    assert "a ZIP inside a ZIP" in reasons["inner.zip"]


def test_limits_on_number_and_total_hold(
    browser: TestClient, slide: Slide, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 400)
    four = upload(browser, slide, [("four.zip", zipped(pictures(4)))])
    long_names = upload(browser, slide, [("long.zip", zipped([("x" * 500, picture(9))]))])
    three = upload(browser, slide, [("three.zip", zipped(pictures(3)))])
    work()
    assert "more than 3 files in one ZIP" in refused(four)["four.zip"]
    assert "more than 3 files in one ZIP" in refused(long_names)["long.zip"]
    assert counts(three) == (3, 0, 0)
    monkeypatch.setattr(archives, "MAX_TOTAL", 100)
    heavy = upload(browser, slide, [("heavy.zip", zipped(pictures(2, start=20)))])
    work()
    assert "a ZIP bomb" in refused(heavy)["heavy.zip"]


def test_a_picture_may_be_larger_than_the_list_of_files(
    browser: TestClient, slide: Slide, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 2000)
    stored = zipped([("large.png", picture(1, size=(64, 64)))], zipfile.ZIP_STORED)
    long_name = zipped([("x" * 3000, picture(2))])
    upload_id = upload(browser, slide, [("stored.zip", stored), ("long.zip", long_name)])
    work()
    assert counts(upload_id) == (1, 0, 1)
    assert "files in one ZIP" in refused(upload_id)["long.zip"]


def test_what_systems_leave_behind_is_passed_over_in_silence(browser: TestClient, slide: Slide, work: Work) -> None:
    double = b"\x00\x05\x16\x07" + b"\0" * 60
    members = [
        ("folder/", b""),
        ("folder/cell.png", picture(1)),
        ("__MACOSX/folder/._cell.png", double),
        ("folder/._cell.png", double),
        ("folder/.DS_Store", b"x"),
        ("Thumbs.db", b"x"),
        ("folder/Desktop.ini", b"x"),
    ]
    upload_id = upload(browser, slide, [("mac.zip", zipped(members)), (".DS_Store", b"x")])
    work()
    assert counts(upload_id) == (1, 0, 0)
    assert refused(upload_id) == {}


def test_names_in_any_encoding_are_shown_and_never_used_as_paths(
    browser: TestClient, slide: Slide, work: Work, installation
) -> None:
    names = [
        (b"../../../etc/cron.d/cell.png", "etc/cron.d/cell.png"),
        (b"C:\\windows\\cell.png", "C:/windows/cell.png"),
        ("größe.png".encode("cp437"), "größe.png"),
        ("größe-utf8.png".encode(), "größe-utf8.png"),
        (b"nul\x00.exe.png", "nul\ufffd.exe.png"),
        (b"tab\tnew\nline.png", "tab\ufffdnew\ufffdline.png"),
        ("evil\u202egnp.exe".encode(), "evil\ufffdgnp.exe"),
        (b"<script>alert(1)</script>.png", "<script>alert(1)</script>.png"),
        ("キリ.png".encode("shift-jis"), "âLâè.png"),  # nothing says that it is not the cp437 of the standard
        (b"long" * 100, "long" * 14 + "lon…ong" + "long" * 14),
    ]
    archive = raw_zip([(name, picture(seed)) for seed, (name, _) in enumerate(names)])
    upload_id = upload(browser, slide, [("names.zip", archive), ("../../up\u202e.png", picture(99))])
    work()
    assert counts(upload_id) == (len(names) + 1, 0, 0), refused(upload_id)
    shown = cell_names(slide)
    assert shown[:-1] == [wanted for _, wanted in names]
    assert shown[-1] == "up\ufffd.png"
    page = browser.get(f"/projects/{slide.project_id}/slides/{slide.id}").text
    assert "<script>alert" not in page


@given(st.text(max_size=400))
def test_any_name_becomes_one_short_visible_line(name: str) -> None:
    shown = clean_name(name)
    assert 0 < len(shown) <= LONGEST
    assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(char) for char in shown}
    assert clean_name(shown) == shown
    assert ".." not in shown.split("/")
    assert not shown.startswith("/")


@given(st.binary(min_size=0, max_size=300))
def test_no_bytes_make_the_reader_fail(data: bytes) -> None:
    for start in (b"PK\x03\x04", b"PK\x05\x06", b""):
        blob = start + data
        for member in archives.read_members("x.zip", io.BytesIO(blob), len(blob), 0):
            assert member.data is None or member.reason is None


@given(st.data())
def test_a_damaged_zip_is_refused_or_read_never_more(data: st.DataObject) -> None:
    original = zipped([("a.png", b"A" * 300), ("b.png", b"B" * 200)])
    blob = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    for member in archives.read_members("x.zip", io.BytesIO(blob), len(blob), 0):
        assert member.data in (None, b"A" * 300, b"B" * 200, bytes(blob))


def test_memory_does_not_grow_with_the_number_of_members(project: Project, browser: TestClient, work: Work) -> None:
    def peak_of(count: int) -> int:
        slide = make_slide(project)
        upload_id = upload(
            browser, slide, [("many.zip", zipped([(f"{n}.png", b"no image %d" % n + filler) for n in range(count)]))]
        )
        tracemalloc.start()
        work()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert counts(upload_id) == (0, 0, count)
        return peak

    filler = b"x" * 4_000
    few, many = peak_of(200), peak_of(5000)
    # The directory of the ZIP is the only thing that grows: less than 1 kB per member.
    assert many - few < 4800 * 1000 + 2_000_000
    assert many < 10_000_000, "5,000 members hold 20 MB"
