"""One large file sent in pieces over a line that drops, by tus 1.0 (https://tus.io/protocols/resumable-upload).

The pieces lie in a file of the data folder, whose length is the offset: there is no other book that could differ after
a crash (docs/decisions/0005-resumable-uploads.md). When it is complete it is received as any other file.
"""

import base64
import binascii
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from app.config import get_settings
from app.db import transaction
from app.errors import Conflict, Invalid, StorageFull, TooLarge
from app.language import _
from app.models import Project, Slide, Upload, User
from app.slides import receiving, service
from app.slides.access import Destination
from app.slides.names import clean_name
from app.slides.pseudonyms import kept_file_name

PIECE: Final = 1 << 20  # bytes written at once
HEARD_EVERY: Final = 64  # pieces between two signs of life
KINDS: Final = {"cells", "field"}


def begin(session: Session, slide: Slide, by: User, *, length: int, metadata: str) -> Upload:
    """Announce a file of `length` bytes; `metadata` is the tus header with `filename` and perhaps `kind`.

    Raises Invalid, TooLarge, Conflict.
    """
    values = _metadata(metadata)
    most = get_settings().max_upload_mb
    if not values.get("filename"):
        raise Invalid(_("Upload-Metadata: a filename is needed."))
    kind = values.get("kind", "cells")
    if kind not in KINDS:
        raise Invalid(_('Upload-Metadata: kind must be "cells" or "field".'))
    if length > most << 20:
        raise TooLarge(_("This file is larger than the %(most)s MB that are accepted here.", most=most))
    upload = service.begin_upload(session, slide, by, kind=kind, files=1, size=length)
    name = clean_name(values["filename"])
    nameless = session.get_one(Project, slide.project_id).accession_key is not None
    upload.resumable_name = kept_file_name(name, "file") if nameless else name
    return upload


def _metadata(header: str) -> dict[str, str]:
    """Decode "key base64, key base64". Raises Invalid."""
    found = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _space, value = pair.partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Invalid(_("Upload-Metadata: the value of %(key)s is not base64 of UTF-8.", key=key)) from None
    return found


def offset_of(upload: Upload) -> int:
    """Return how many bytes of a file have arrived."""
    if upload.completed_at is not None:
        return upload.expected_bytes or 0
    path = _path(upload.id)
    return path.stat().st_size if path.is_file() else 0


async def append(upload: Upload, offset: int, pieces: AsyncIterator[bytes]) -> int:
    """Append bytes that begin at `offset` of the file; returns the new offset. What arrived before a line drops stays.

    Raises Conflict if the file goes on elsewhere or somebody else is writing it, Invalid, StorageFull.
    """
    length = upload.expected_bytes or 0
    with _open(upload, offset) as file:
        held, count = bytearray(), 0
        async for piece in pieces:
            held += piece
            offset += len(piece)
            if offset > length:
                raise Invalid(_("The file is longer than its Upload-Length."))
            if len(held) >= PIECE:
                await run_in_threadpool(_write, file, bytes(held))
                held.clear()
                count += 1
                if count % HEARD_EVERY == 0:
                    await run_in_threadpool(hear, upload.id)
        await run_in_threadpool(_write, file, bytes(held))
        await run_in_threadpool(os.fsync, file.fileno())
    return offset


@contextmanager
def _open(upload: Upload, offset: int) -> Iterator[BinaryIO]:
    """Open the file at its end, for one writer at a time."""
    if upload.completed_at is not None:
        raise Conflict(_("This upload is complete and takes no more bytes."))
    with _path(upload.id).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(_("Another request is sending this file now. Ask for the offset again.")) from None
        here = file.tell()
        if here != offset:
            raise Conflict(_("Upload-Offset: the file goes on at byte %(offset)s.", offset=here))
        yield file


def _write(file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(_("The disk of the server is full. What arrived of the file is kept.")) from error


def hear(upload_id: int) -> None:
    """Note that the sender of a file is alive."""
    with transaction() as session:
        service.hear(session.get_one(Upload, upload_id))


class _Whole:
    """The complete file as `receiving` takes it."""

    def __init__(self, filename: str, file: BinaryIO) -> None:
        self.filename, self.file = filename, file


def receive(upload: Upload, destination: Destination) -> receiving.Receipt:
    """Receive the file whose bytes are all there. Raises StorageFull."""
    path = _path(upload.id)
    with path.open("rb") as file:
        receipt = receiving.receive(destination, [_Whole(upload.resumable_name or "", file)])
    path.unlink()
    return receipt


def give_up(session: Session, upload: Upload, project_id: int) -> None:
    """Forget what arrived of a file; the upload ends without it. Raises Conflict if it is complete."""
    if upload.completed_at is not None:
        raise Conflict(_("This upload is complete; its file cannot be taken back."))
    upload.expected_files = 0
    service.end_upload(session, upload, project_id)
    _path(upload.id).unlink(missing_ok=True)


def _path(upload_id: int) -> Path:
    folder = get_settings().data_dir / "resumable"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / str(upload_id)
