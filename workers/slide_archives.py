"""Opens received files that are slides: in one file, or of many files packed into a ZIP, as MIRAX and DICOM have them.

The members are unpacked by their names, by which OpenSlide finds them, below a folder that is gone afterwards; a ZIP
with a name that leads out of it is refused.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import ZipFile, ZipInfo

import openslide

from app.models import UploadPart
from app.storage import get_storage
from workers import archives
from workers.archives import Refused
from workers.ml.field_files import is_slide

ENTRIES: Final = (".mrxs", ".vms", ".vmu")
"""Ends of the name of the file by which a slide of many is opened (MIRAX, Hamamatsu)."""
PREAMBLE: Final = 128  # bytes before "DICM" (DICOM PS3.10, 7.1)
LONGEST_NAME: Final = 255  # bytes, of common file systems
SERIES: Final = "dicom.SeriesInstanceUID"

Progress = Callable[[int, int], None]


def holds_slide(part: UploadPart) -> bool:
    """Say whether a received file is a slide, or a part of one, or a ZIP with a slide of many files."""
    with get_storage().open(f"uploads/{part.sha256}") as file:
        head = file.read(PREAMBLE + 4)
        if head.startswith(archives.SIGNATURES):
            try:
                return _is_packed(archives.open_archive(file))
            except Refused:  # reading its members says why
                return False
    return _is_one_of_many(part.name, head) or is_slide(get_storage().local_path(f"uploads/{part.sha256}"))


def _is_one_of_many(name: str, head: bytes) -> bool:
    return name.lower().endswith(ENTRIES) or _is_dicom(head)


def _is_dicom(head: bytes) -> bool:
    return head[PREAMBLE : PREAMBLE + 4] == b"DICM"


def _is_packed(archive: ZipFile) -> bool:
    """Tell a packed slide by a name, or by the first file: DICOM often has no names that say so."""
    files = _files(archive)
    if any(info.orig_filename.lower().endswith((*ENTRIES, ".dcm")) for info in files):
        return True
    try:
        return bool(files) and _is_dicom(next(archives.pieces(archive, files[0]), b""))
    except Refused:
        return False


def _files(archive: ZipFile) -> list[ZipInfo]:
    return [info for info in archive.infolist() if not archives.is_passed_over(info)]


@contextmanager
def slide_of(part: UploadPart, progress: Progress) -> Iterator[Path]:
    """Yield the path at which a received slide is opened; what was unpacked for it is gone afterwards.

    `progress` is called with bytes unpacked and bytes in all. Raises Refused with the reason.
    """
    path = get_storage().local_path(f"uploads/{part.sha256}")
    with path.open("rb") as file:
        head = file.read(PREAMBLE + 4)
        if not head.startswith(archives.SIGNATURES):
            if _is_one_of_many(part.name, head):
                raise Refused("one of the files of a slide: pack all of them into one ZIP and send that")
            yield path
            return
        with TemporaryDirectory(dir=get_storage().temporary) as folder:
            yield _unpacked(archives.open_archive(file), part.size, Path(folder), progress)


def _unpacked(archive: ZipFile, size: int, folder: Path, progress: Progress) -> Path:
    """Unpack a slide into a folder; returns its entry. Raises Refused."""
    infos = archive.infolist()
    archives.judge(infos, size)
    files = _files(archive)
    total, done = sum(info.file_size for info in files), 0
    entries, dicom = [], []
    for number, info in enumerate(files):
        path = folder / _place(info)
        content = archives.pieces(archive, info)
        first = next(content, b"")
        if _is_dicom(first):
            path = folder / f"dicom-{number}"  # OpenSlide looks for the others of a series beside the first
            dicom.append(path)
        elif path.name.lower().endswith(ENTRIES):
            entries.append(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for piece in chain([first], content):
                    file.write(piece)
                    done += len(piece)
                    progress(done, total)
        except (FileExistsError, NotADirectoryError):
            raise Refused("two files of one name in this ZIP") from None
    return _entry(entries, dicom)


def _place(info: ZipInfo) -> Path:
    """Return where a member goes below the folder. Raises Refused."""
    parts = [part for part in re.split(r"[\\/]+", archives.shown_name(info)) if part not in {"", "."}]
    if ".." in parts or any(len(part.encode()) > LONGEST_NAME or "\0" in part for part in parts):
        raise Refused("a file name in this ZIP leads outside of it or is too long")
    return Path(*parts)


def _entry(entries: list[Path], dicom: list[Path]) -> Path:
    """Return the file by which OpenSlide opens the only slide among them. Raises Refused."""
    slides = [path for path in entries if openslide.OpenSlide.detect_format(path)]
    if entries and not slides:
        raise Refused("incomplete: the files that belong to %(name)s are not beside it", name=entries[0].name)
    slides += _series(dicom)
    if len(slides) != 1:
        raise Refused("%(count)s slides in one ZIP: pack each by itself", count=len(slides))
    return slides[0]


def _series(dicom: list[Path]) -> list[Path]:
    """Return a file of each DICOM series that is a slide; others, such as a DICOMDIR, are passed over."""
    found: dict[str, Path] = {}
    reason = ""
    for path in dicom:
        try:
            with openslide.OpenSlide(path) as slide:
                found.setdefault(slide.properties[SERIES], path)
        except openslide.OpenSlideError as error:
            reason = str(error)
    if dicom and not found:
        raise Refused("no slide that can be read: %(error)s", error=reason)
    return list(found.values())
