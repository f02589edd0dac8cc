"""One large file sent in pieces over a line that drops, by tus 1.0 (https://tus.io/protocols/resumable-upload).

The pieces lie in a file of the data folder, whose length is the offset: there is no other book that could differ after
a crash (docs/decisions/0005-resumable-uploads.md). When it is complete it is received as any other file.
"""

import asyncio
import base64
import binascii
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from time import monotonic
from typing import Final

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from app.config import get_settings
from app.db import reading, transaction
from app.errors import Conflict, Invalid, Locked, StorageFull, TooLarge
from app.language import _
from app.models import Project, Slide, Upload, User
from app.slides import receiving, service
from app.slides.access import Destination
from app.slides.forms import KINDS
from app.slides.names import clean_name
from app.slides.pseudonyms import kept_file_name

PIECE: Final = 1 << 20  # bytes written at once
HEARD_AFTER: Final = 20.0  # seconds between two signs of life
SILENT: Final = 30.0  # seconds without a byte, until the line counts as dead and another may send


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
        raise Invalid(_('Upload-Metadata: kind must be "cells", "field" or "off_centre".'))
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


def offset_of(upload: Upload, destination: Destination) -> int:
    """Return how many bytes of a file have arrived.

    If all have, but the server was killed or its disk was full before it could receive the file, it is received now.
    Raises Locked, StorageFull.
    """
    if upload.completed_at is not None:
        return upload.expected_bytes or 0
    path = _path(upload.id)
    arrived = path.stat().st_size if path.is_file() else 0
    if arrived == upload.expected_bytes:
        receive(upload, destination)
    return arrived


async def append(upload: Upload, offset: int, pieces: AsyncIterator[bytes]) -> int:
    """Append bytes that begin at `offset` of the file; returns the new offset. What arrived before a line drops stays.

    Raises Conflict if the file goes on elsewhere or the line drops, Locked, Invalid, StorageFull.
    """
    with _open(upload) as file:
        here = file.tell()
        if here != offset:
            raise Conflict(_("Upload-Offset: the file goes on at byte %(offset)s.", offset=here))
        held, heard = bytearray(), monotonic()
        try:
            async for piece in _alive(pieces):
                if offset + len(piece) > (upload.expected_bytes or 0):
                    raise Invalid(_("The file is longer than its Upload-Length."))
                held += piece
                offset += len(piece)
                if len(held) >= PIECE:
                    await _write(file, held)
                if monotonic() - heard > HEARD_AFTER:
                    heard = monotonic()
                    await run_in_threadpool(hear, upload.id)
        finally:
            await _write(file, held)
            await run_in_threadpool(os.fsync, file.fileno())
    return offset


async def _alive(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces while they come: a line may end without a word. Raises Conflict then."""
    while True:
        try:
            async with asyncio.timeout(SILENT):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except (ClientDisconnect, TimeoutError):
            raise Conflict(_("The connection ended. What arrived of the file is kept.")) from None
        yield piece


@contextmanager
def _open(upload: Upload) -> Iterator[FileIO]:
    """Open what arrived of a file at its end, for one request at a time. Raises Conflict if it is complete, Locked."""
    if upload.completed_at is not None:
        raise Conflict(_("This upload is complete and takes no more bytes."))
    with _path(upload.id).open("a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(_("Another request is sending this file now. Ask for the offset again.")) from None
        yield file


async def _write(file: FileIO, held: bytearray) -> None:
    """Write what is held; whatever comes of it, it is not held any more."""
    data = bytes(held)
    held.clear()
    await run_in_threadpool(_write_all, file, data)


def _write_all(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
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

    def __init__(self, filename: str, file: FileIO) -> None:
        self.filename, self.file = filename, file


def receive(upload: Upload, destination: Destination) -> receiving.Receipt:
    """Receive a file whose bytes are all there. Raises Conflict if it was received or given up, Locked, StorageFull."""
    with _open(upload) as file:
        if file.tell() != upload.expected_bytes:
            raise Conflict(_("This upload is complete and takes no more bytes."))
        file.seek(0)
        receipt = receiving.receive(destination, [_Whole(upload.resumable_name or "", file)])
        _path(upload.id).unlink(missing_ok=True)
    return receipt


def destination_of(session: Session, upload: Upload) -> Destination:
    """Return where the file of an upload goes."""
    slide = session.get_one(Slide, upload.slide_id)
    return Destination(slide.project_id, slide.id, upload.user_id, upload.id)


def take_up() -> None:
    """Receive files that are whole but whose sender never came back to hear of it; delete what is nobody's any more."""
    for path in _folder().iterdir():
        with reading() as session:
            upload = session.get_one(Upload, int(path.name))
            destination = destination_of(session, upload)
        if upload.completed_at is not None:
            path.unlink(missing_ok=True)
        elif path.stat().st_size == upload.expected_bytes:
            with suppress(Locked, Conflict):
                receive(upload, destination)


def give_up(session: Session, upload: Upload, project_id: int) -> None:
    """Forget what arrived of a file; the upload ends without it. Raises Conflict if it is complete."""
    if upload.completed_at is not None:
        raise Conflict(_("This upload is complete; its file cannot be taken back."))
    upload.expected_files = 0
    service.end_upload(session, upload, project_id)
    _path(upload.id).unlink(missing_ok=True)


def _folder() -> Path:
    folder = get_settings().data_dir / "resumable"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _path(upload_id: int) -> Path:
    return _folder() / str(upload_id)
