"""Receives files: bytes to the disk first, then their rows and the job in one transaction.

Nothing is looked into here; the worker does that. A request that fails leaves no row, at most bytes nobody points to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from sqlalchemy.orm import Session

from app import jobs
from app.db import insert_into, now, transaction
from app.errors import Conflict
from app.language import _
from app.models import Slide, Upload, UploadPart
from app.slides import service, states
from app.slides.access import Destination
from app.slides.names import clean_name
from app.slides.pseudonyms import kept_file_name
from app.storage import Stored, get_storage


class IncomingFile(Protocol):
    """What is needed of a received file; Starlette's UploadFile has it."""

    @property
    def filename(self) -> str | None:
        """The name its sender gave it."""

    @property
    def file(self) -> BinaryIO:
        """Its bytes; seekable."""


@dataclass(frozen=True)
class Receipt:
    """What was done with received files: `new` were added, `known` were part of the same upload before."""

    upload_id: int
    job_id: int
    new: int
    known: int


def receive(destination: Destination, files: Sequence[IncomingFile]) -> Receipt:
    """Store files and queue their unpacking, in a transaction of its own; call it in a thread, without an open one.

    Without an upload in the destination they become a complete upload of their own. A file that was sent to the same
    upload before, under the same name, is recognised and not added again. Raises Conflict if the upload takes no more
    files, StorageFull.
    """
    stored = store(files)
    with transaction() as session:
        return add(session, destination, files, stored)


def store(files: Sequence[IncomingFile]) -> list[Stored]:
    """Write the bytes of received files to storage. Slow: no transaction may be open. Raises StorageFull."""
    return get_storage().put_many("uploads", [file.file for file in files])


def add(session: Session, destination: Destination, files: Sequence[IncomingFile], stored: Sequence[Stored]) -> Receipt:
    """Add the rows of stored files and queue the job. Raises Conflict if the upload takes no more files."""
    upload = _upload(session, destination, files, stored)
    if upload.finished_at is None:  # what was sent again after the end changes nothing
        states.reopen(session, session.get_one(Slide, destination.slide_id))
    new = _add_parts(session, upload.id, _names(destination, files, stored), stored)
    if new and destination.upload_id is not None and upload.completed_at is not None:
        raise Conflict(_("This upload is complete and takes no more files. Start a new one."))
    upload.received_files += len(new)
    upload.received_bytes += sum(new)
    upload.heard_at = now()
    if upload.completed_at is None and upload.received_files >= (upload.expected_files or 0):
        upload.completed_at = now()  # all that was announced is here, so a sender that says no more is not waited for
    _put_back(files, stored)
    service.tell(session, upload, destination.project_id)
    job_id = jobs.unpack_upload(session, destination.project_id, upload.id)
    return Receipt(upload.id, job_id, len(new), len(files) - len(new))


def _upload(
    session: Session, destination: Destination, files: Sequence[IncomingFile], stored: Sequence[Stored]
) -> Upload:
    """Return the upload of the destination, locked, or a new one that is complete with these files."""
    if destination.upload_id is not None:
        return session.get_one(Upload, destination.upload_id, with_for_update=True)
    upload = Upload(
        slide_id=destination.slide_id,
        user_id=destination.user_id,
        kind=destination.kind,
        expected_files=len(files),
        expected_bytes=sum(each.size for each in stored),
        created_at=now(),
        completed_at=now(),
    )
    session.add(upload)
    session.flush()
    return upload


def _names(destination: Destination, files: Sequence[IncomingFile], stored: Sequence[Stored]) -> list[str]:
    names = [clean_name(file.filename or "") for file in files]
    if not destination.nameless:
        return names
    return [kept_file_name(name, each.sha256) for name, each in zip(names, stored, strict=True)]


def _add_parts(session: Session, upload_id: int, names: Sequence[str], stored: Sequence[Stored]) -> list[int]:
    """Return the sizes of the parts that are new to the upload."""
    rows = [
        {"upload_id": upload_id, "name": name, "sha256": each.sha256, "size": each.size}
        for name, each in zip(names, stored, strict=True)
    ]
    key = [UploadPart.upload_id, UploadPart.sha256, UploadPart.name]
    statement = insert_into(session, UploadPart).values(rows).on_conflict_do_nothing(index_elements=key)
    return list(session.scalars(statement.returning(UploadPart.size)))


def _put_back(files: Sequence[IncomingFile], stored: Sequence[Stored]) -> None:
    """Store again what another upload, finishing at this moment, deleted after we found the same bytes stored. From now
    on our rows keep it from doing so."""
    storage = get_storage()
    for file, each in zip(files, stored, strict=True):
        if not storage.exists(f"uploads/{each.sha256}"):
            file.file.seek(0)
            storage.put("uploads", file.file)
