"""Bytes at rest: stored once under their sha256, complete or not at all, and nothing left behind."""

import errno
import hashlib
import io
import os
from pathlib import Path
from time import time

import pytest

from app.errors import StorageFull
from app.storage import LocalStorage


def files_below(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_many_files_are_stored_at_once_under_their_sha256(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    blobs = [b"one", b"two", b"one", b""]
    digests = [hashlib.sha256(blob).hexdigest() for blob in blobs]
    storage.put("images", io.BytesIO(b"two"))
    result = storage.put_many("images", [io.BytesIO(blob) for blob in blobs])
    assert [(each.sha256, each.size) for each in result] == list(zip(digests, [3, 3, 3, 0], strict=True))
    assert [each.known for each in result] == [False, True, True, False]
    assert [storage.read(f"images/{digest}") for digest in digests] == blobs
    assert files_below(tmp_path) == sorted(set(digests))


class Failing(io.BytesIO):
    """A stream that fails in the middle, as the disk or the network may."""

    def __init__(self, number: int) -> None:
        super().__init__(b"x")
        self.number = number

    def read(self, _size: int | None = -1) -> bytes:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, StorageFull), (errno.EIO, OSError)])
def test_a_failure_leaves_nothing_of_all_of_them(tmp_path: Path, number: int, error: type[Exception]) -> None:
    storage = LocalStorage(tmp_path)
    with pytest.raises(error):
        storage.put_many("images", [io.BytesIO(b"good"), Failing(number)])
    assert files_below(tmp_path) == []
    assert storage.put_many("images", [io.BytesIO(b"good")])[0].known is False


def test_a_start_removes_what_killed_processes_left_long_ago(tmp_path: Path) -> None:
    LocalStorage(tmp_path)
    for name, age in (("old", 25 * 3600), ("fresh", 3600)):
        for path in (tmp_path / "tmp" / name, tmp_path / "tmp" / f"{name}-folder"):
            if path.name.endswith("folder"):
                path.mkdir()
                (path / "part").write_bytes(b"x")
            else:
                path.write_bytes(b"x")
            os.utime(path, (time() - age, time() - age))
    LocalStorage(tmp_path)
    assert sorted(path.name for path in (tmp_path / "tmp").iterdir()) == ["fresh", "fresh-folder"]
