"""Image files in folders and ZIPs, found now and read when they are needed."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, overload

from workers.ml.images import BadImage

SUFFIXES: Final = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MAX_BYTES: Final = 64 * 2**20


@dataclass(frozen=True)
class Source:
    """An image file, or a member of a ZIP. `name` is relative to the input it was found in."""

    name: str
    path: Path
    member: str | None = None

    def read(self) -> bytes:
        """Return the file's bytes; BadImage says why if it cannot be read or, in a ZIP, is absurdly large."""
        try:
            if self.member is None:
                return self.path.read_bytes()
            with _open(self.path).open(self.member) as file:
                data = file.read(MAX_BYTES + 1)
        # RuntimeError is zipfile's for encrypted members.
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise BadImage("cannot be read: %(error)s", error=error) from error
        if len(data) > MAX_BYTES:
            raise BadImage("more than %(most)s MB", most=MAX_BYTES // 2**20)
        return data


class Contents(Sequence[bytes]):
    """The bytes of sources, each read when it is asked for, from any thread."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> "Contents": ...
    def __getitem__(self, index: int | slice) -> "bytes | Contents":
        if isinstance(index, slice):
            return Contents(self._sources[index])
        return self._sources[index].read()


def find_images(inputs: Sequence[Path]) -> list[Source]:
    """Return all images of folders (with what is below them), ZIPs and single files, in order of name.

    Files are told by their suffix; a ZIP in a ZIP is passed over. Raises ValueError for an input that does
    not exist or has no image.
    """
    found: list[Source] = []
    for path in inputs:
        if not path.exists():
            raise ValueError(f"there is no {path}")
        here = sorted(_images_of(path), key=lambda source: source.name)
        if not here:
            raise ValueError(f"{path}: no image in it; readable are {', '.join(sorted(SUFFIXES))}")
        found += here
    return found


def _images_of(path: Path) -> Iterator[Source]:
    if path.suffix.lower() == ".zip":
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path}: not a readable ZIP")
        yield from (Source(member, path, member) for member in _open(path).namelist() if _is_image(member))
    elif path.is_dir():
        files = (file for file in path.rglob("*") if _is_image(file.name) and file.is_file())
        yield from (Source(file.relative_to(path).as_posix(), file) for file in files)
    elif _is_image(path.name):
        yield Source(path.name, path)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


@lru_cache(maxsize=16)
def _open(path: Path) -> zipfile.ZipFile:
    # Kept open: a ZIP's list of members is long. Reading members is safe from several threads.
    return zipfile.ZipFile(path)
