"""Opens what was received: a single image, or a ZIP whose members are read one by one and never written by their name.

A ZIP is judged as a whole before anything is unpacked: how many members, how large, whether they overlap. What its
directory claims about sizes is only believed as an upper bound, so a lie costs its author the member.
"""

import errno
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Final
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from app.slides.names import clean_name, is_system_file

MEGABYTE: Final = 1_000_000
MAX_MEMBERS: Final = 100_000
MAX_FILE: Final = 100 * MEGABYTE  # unpacked; larger pictures than that are not cells
MAX_TOTAL: Final = 50_000 * MEGABYTE
MAX_RATIO: Final = 100
FREE_TOTAL: Final = 1_000 * MEGABYTE  # below this a high ratio does no harm
MAX_DIRECTORY: Final = 32 * MEGABYTE  # bytes of the list of members, which zipfile reads at once
TAIL: Final = 1 << 17  # more than the end record and the longest comment, which zipfile reads to the end of the file
PIECE: Final = 1 << 20  # bytes of a member read at once
LOCAL_HEADER: Final = 30  # bytes before each member, without its name (APPNOTE 4.3.7)
ENCRYPTED: Final = 0x1
# LZMA is left out: its header may ask for gigabytes of memory.
METHODS: Final = (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2)
SIGNATURES: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
APPLE_DOUBLE: Final = b"\x00\x05\x16\x07"  # what macOS puts beside each file on a foreign disk
# All that zipfile and zlib raise on damaged input; errors of the disk are not among them.
DAMAGED: Final = (BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, ValueError, OverflowError)


class Refused(Exception):
    """A file that cannot be opened; the message says why to the person who sent it."""

    def __init__(self, reason: str, **values: Any) -> None:
        super().__init__(reason % values)


@dataclass(frozen=True)
class Member:
    """One file of a received part: its place among `total`, the name to show, and its bytes or why it is refused.

    Neither bytes nor reason: it is passed over in silence.
    """

    index: int
    total: int
    name: str
    data: bytes | None
    reason: str | None = None

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.data or b"")


def read_members(name: str, file: BinaryIO, size: int, start: int) -> Iterator[Member]:
    """Read the members of a received file from `start` on; a file that is no ZIP is its own only member."""
    if file.read(len(SIGNATURES[0])) not in SIGNATURES:
        yield _member(0, 1, name, partial(_load_single, name, file, size))
        return
    try:
        archive = open_archive(file)
        infos = archive.infolist()
        judge(infos, size)
    except Refused as refusal:
        yield Member(0, 1, clean_name(name), None, str(refusal))
        return
    for index, info in enumerate(infos[start:], start):
        yield _member(index, len(infos), shown_name(info), partial(_load, archive, info))


def _member(index: int, total: int, name: str, load: Callable[[], bytes | None]) -> Member:
    try:
        return Member(index, total, clean_name(name), load())
    except Refused as refusal:
        return Member(index, total, clean_name(name), None, str(refusal))


def shown_name(info: ZipInfo) -> str:
    """Return the name of a member as its author meant it: many programs write UTF-8 without saying so."""
    if info.flag_bits & 0x800:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode()
    except UnicodeError:
        return info.orig_filename


def _load_single(name: str, file: BinaryIO, size: int) -> bytes | None:
    if is_system_file(name):
        return None
    if name.lower().endswith(".zip"):
        raise Refused("not a ZIP file, though its name says so")
    if size > MAX_FILE:
        raise _too_large()
    file.seek(0)
    return _wanted(name, file.read())


def open_archive(file: BinaryIO) -> ZipFile:
    """Open a ZIP that somebody sent. Raises Refused."""
    bounded = _BoundedReads(file)
    try:
        archive = ZipFile(bounded)
    except UnicodeDecodeError:
        raise Refused("a file name in this ZIP claims to be UTF-8 but is not: pack it again") from None
    except DAMAGED:
        raise Refused("truncated or damaged: the list of files at the end of this ZIP cannot be read") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a seek to before the start, asked for by the directory
            raise
        raise Refused("damaged: this ZIP names places outside of itself") from None
    bounded.opening = False
    return archive


class _BoundedReads:
    """Passes a file on to zipfile, which would otherwise read a directory of any length into memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.opening = file, True
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close

    def read(self, size: int = -1) -> bytes:
        if self.opening and size > MAX_DIRECTORY:
            raise _too_many()
        return self._file.read(TAIL if size < 0 else size)


def judge(infos: list[ZipInfo], size: int) -> None:
    """Refuse a ZIP that cannot be an honest collection of images. Raises Refused."""
    if len(infos) > MAX_MEMBERS:
        raise _too_many()
    if all(is_passed_over(info) for info in infos):
        raise Refused("this ZIP is empty")
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL or (total > FREE_TOTAL and total > MAX_RATIO * size):
        raise Refused("a ZIP bomb: it would unpack to %(gigabytes)s GB", gigabytes=f"{total / 1e9:,.0f}")
    require_apart(infos, size)


def require_apart(infos: list[ZipInfo], size: int) -> None:
    """Refuse a ZIP of `size` bytes whose members share bytes or lie outside of it. Raises Refused."""
    end = 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset < end:
            raise Refused("a ZIP bomb: its files overlap")
        end = info.header_offset + LOCAL_HEADER + info.compress_size
    if end > size:
        raise Refused("damaged: this ZIP names places outside of itself")


def is_passed_over(info: ZipInfo) -> bool:
    """Say whether a member is a folder, or what an operating system left."""
    return info.orig_filename.endswith("/") or is_system_file(info.orig_filename)


def _load(archive: ZipFile, info: ZipInfo) -> bytes | None:
    if is_passed_over(info):
        return None
    if info.file_size > MAX_FILE:
        raise _too_large()
    return _wanted(info.orig_filename, b"".join(pieces(archive, info)))


def pieces(archive: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    """Read a member piece by piece, no more bytes than the directory says. Raises Refused."""
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Refused("a link to another file, not an image")
    if info.flag_bits & ENCRYPTED:
        raise Refused("encrypted: pack it without a password")
    if info.compress_type not in METHODS:
        raise Refused("compressed by an unusual method: pack it as an ordinary ZIP (deflate)")
    try:
        with archive.open(info) as member:
            while piece := member.read(PIECE):
                yield piece
    except DAMAGED:
        raise Refused("damaged: its content does not match what the ZIP says about it") from None


def _wanted(name: str, data: bytes) -> bytes | None:
    """Return the bytes that may be an image; None for those of macOS that nobody chose. Raises Refused."""
    if name.rpartition("/")[2].startswith("._") and data.startswith(APPLE_DOUBLE):
        return None
    if data.startswith(SIGNATURES):
        raise Refused("a ZIP inside a ZIP is not opened: upload it by itself")
    return data


def _too_many() -> Refused:
    return Refused("more than %(most)s files in one ZIP: split it", most=f"{MAX_MEMBERS:,}")


def _too_large() -> Refused:
    return Refused("larger than %(most)s MB", most=MAX_FILE // MEGABYTE)
