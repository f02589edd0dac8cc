"""Bytes at rest, addressed by their sha256 (images, uploads) or by a name that is written once (models, score tables).

A file appears under its final name only when it is complete and flushed to disk; rows that point to it are committed
afterwards. A crash in between leaves an orphan, never a dangling row.
"""

import ctypes
import errno
import hashlib
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import time
from typing import BinaryIO, Protocol, cast

from app.config import get_settings
from app.errors import StorageFull
from app.language import _

CHUNK = 1 << 20
_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
LEFT_BEHIND = 24 * 3600.0  # seconds after which a temporary file is nobody's


@dataclass(frozen=True)
class Stored:
    """What `put` stored: the sha256 in hex, the size in bytes, and whether the same bytes were there before."""

    sha256: str
    size: int
    known: bool


class Storage(Protocol):
    """Where bytes live. Keys are `folder/name`; names are never user input. Files in the making are written into the
    local folder `temporary`."""

    temporary: Path

    def put(self, folder: str, source: BinaryIO) -> Stored:
        """Store a stream under its sha256, hashing while writing. Raises StorageFull."""

    def put_many(self, folder: str, sources: Sequence[BinaryIO]) -> list[Stored]:
        """Store several streams, each under its sha256, much faster than one by one. Raises StorageFull."""

    def write(self, key: str, data: bytes) -> None:
        """Store derived bytes, which can be made again, under a key; what exists there is kept. Raises StorageFull."""

    def read(self, key: str) -> bytes:
        """Return the bytes of a key. Raises FileNotFoundError."""

    def open(self, key: str) -> BinaryIO:
        """Open a key for reading from the start; seekable. Raises FileNotFoundError."""

    def exists(self, key: str) -> bool:
        """Say whether a key is stored."""

    def delete(self, key: str) -> None:
        """Remove a key if it is there."""

    def local_path(self, key: str) -> Path:
        """Return a local file with the bytes of a key, for memory mapping. Raises FileNotFoundError."""


class LocalStorage:
    """A folder on this machine. 256 subfolders keep directories small: 4,000 files each for a million images, while a
    second level would cost more in folders than it saves in searching."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.temporary = root / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what a process that was killed while writing left behind; nobody writes one file for a day."""
        for leftover in self.temporary.iterdir():
            with suppress(FileNotFoundError):  # another process sweeps too
                if time() - leftover.stat().st_mtime > LEFT_BEHIND:
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def path(self, key: str) -> Path:
        """Return where a key lives."""
        folder, _, name = key.partition("/")
        return self.root / folder / name[:2] / name

    def put(self, folder: str, source: BinaryIO) -> Stored:
        """Store a stream under its sha256. Raises StorageFull."""
        digest, size = hashlib.sha256(), 0
        with self._new_file() as file:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
                size += len(chunk)
            sha256 = digest.hexdigest()
            known = self._publish(file, self.path(f"{folder}/{sha256}"))
        return Stored(sha256, size, known)

    def write(self, key: str, data: bytes) -> None:
        """Store derived bytes under a key, without waiting for the disk. Raises StorageFull."""
        if self.exists(key):
            return
        temporary = self.temporary / secrets.token_hex(16)
        with _plain_words():
            try:
                _copy(io.BytesIO(data), temporary)
                _replace(temporary, self.path(key))
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def put_many(self, folder: str, sources: Sequence[BinaryIO]) -> list[Stored]:
        """Store several streams with two flushes of the disk in all, not several per file. Raises StorageFull."""
        with self._new_folder() as work:
            received = [
                (work / str(number), _copy(source, work / str(number))) for number, source in enumerate(sources)
            ]
            _flush(work)
            result = []
            for temporary, (sha256, size) in received:
                path = self.path(f"{folder}/{sha256}")
                result.append(Stored(sha256, size, known=path.exists()))
                # What is stored already may have been flushed or not; replaced by its equal, it is safe with ours.
                _replace(temporary, path)
            _flush(work)
        return result

    def read(self, key: str) -> bytes:
        """Return the bytes of a key."""
        return self.path(key).read_bytes()

    def open(self, key: str) -> BinaryIO:
        """Open a key for reading."""
        return self.path(key).open("rb")

    def exists(self, key: str) -> bool:
        """Say whether a key is stored."""
        return self.path(key).exists()

    def delete(self, key: str) -> None:
        """Remove a key if it is there."""
        self.path(key).unlink(missing_ok=True)

    def local_path(self, key: str) -> Path:
        """Return the file of a key."""
        path = self.path(key)
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "not in storage", key)
        return path

    @contextmanager
    def _new_file(self) -> Iterator[BinaryIO]:
        """A temporary file that is gone afterwards; `_publish` gives it a second name before."""
        with _plain_words(), tempfile.NamedTemporaryFile(dir=self.temporary) as file:
            yield cast("BinaryIO", file)

    @contextmanager
    def _new_folder(self) -> Iterator[Path]:
        """A temporary folder that is gone afterwards."""
        with _plain_words(), tempfile.TemporaryDirectory(dir=self.temporary) as folder:
            yield Path(folder)

    def _publish(self, file: BinaryIO, path: Path) -> bool:
        """Give a written temporary file its final name; return whether that name was taken already."""
        file.flush()
        if path.exists():
            return True
        os.fsync(file.fileno())
        _make_folders(path.parent)
        try:
            os.link(file.name, path)
        except FileExistsError:
            return True
        _fsync(path.parent)
        return False


@contextmanager
def _plain_words() -> Iterator[None]:
    """Say that the disk is full in words that a person understands."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(_("The disk of the server is full. Nothing of this was stored.")) from error
        raise


def _copy(source: BinaryIO, path: Path) -> tuple[str, int]:
    """Copy a stream into a new file that only we may read; return its sha256 and size."""
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _replace(temporary: Path, path: Path) -> None:
    """Give a complete file its final name."""
    try:
        temporary.replace(path)
    except FileNotFoundError:  # the first file of this folder
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)


def _flush(anywhere: Path) -> None:
    """Flush all files and folders of a file system to the disk, waiting once for all of them."""
    if _syncfs is None:  # not Linux
        os.sync()
        return
    handle = os.open(anywhere, os.O_RDONLY)
    try:
        if _syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), "the file system could not be flushed", str(anywhere))
    finally:
        os.close(handle)


def _make_folders(folder: Path) -> None:
    """Create a folder and its parents, each flushed into its own parent so that it survives a power cut."""
    if folder.exists():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _fsync(folder.parent)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def get_storage() -> Storage:
    """Return the storage of this installation."""
    return _local(get_settings().data_dir.resolve() / "files")


@lru_cache
def _local(root: Path) -> LocalStorage:
    return LocalStorage(root)
