"""The bytes that unpacking keeps: images, and beside them the files they came in where the project wants that."""

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import insert_into, now
from app.models import Image, Original, Slide
from app.storage import Stored, get_storage


@dataclass(frozen=True)
class KeptFile:
    """Bytes under a key of the storage, `folder/sha256`."""

    folder: str
    sha256: str
    data: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


def received_file(data: bytes) -> KeptFile:
    """Return a file that is kept as it was received."""
    return KeptFile("originals", hashlib.sha256(data).hexdigest(), data)


def put(files: Iterable[KeptFile]) -> None:
    """Store files, flushed to disk."""
    folders: dict[str, list[io.BytesIO]] = {}
    for file in files:
        folders.setdefault(file.folder, []).append(io.BytesIO(file.data))
    for folder, sources in folders.items():
        get_storage().put_many(folder, sources)


def put_back(files: Iterable[KeptFile]) -> None:
    """Store again what the end of its time on another slide deleted after we found it stored; our rows, which must be
    added by now, keep it from then on (workers.retention)."""
    put(file for file in files if not get_storage().exists(f"{file.folder}/{file.sha256}"))


def add_originals(session: Session, slide: Slide, received: Mapping[str, KeptFile | Stored]) -> None:
    """Note which file each image of the slide, by its sha256, was received in."""
    if not received:
        return
    ids = session.execute(select(Image.sha256, Image.id).where(Image.sha256.in_(received)))
    rows = [
        {
            "slide_id": slide.id,
            "image_id": row.id,
            "sha256": received[row.sha256].sha256,
            "size": received[row.sha256].size,
            "created_at": now(),
        }
        for row in ids
    ]
    key = [Original.slide_id, Original.image_id]
    session.execute(insert_into(session, Original).on_conflict_do_nothing(index_elements=key), rows)
