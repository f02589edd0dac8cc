"""Recognises files by their sha256 before they are sent. Only what the project itself holds is known."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import transaction
from app.models import Cell, Field, Image, Upload, UploadPart
from app.slides.access import Destination
from app.slides.forms import FileMark
from app.storage import get_storage


@dataclass(frozen=True)
class Held:
    """A file the project holds, as `receiving` takes it."""

    filename: str
    file: BinaryIO


@dataclass(frozen=True)
class Known:
    """Which files need not be sent, by their sha256: the slide `has` them, or the project holds them (`held`)."""

    has: list[str]
    held: list[str]
    missing: list[str]


def recognise(destination: Destination, marks: Sequence[FileMark]) -> Known:
    """Look for the files of these marks, in a transaction of its own."""
    wanted = list(dict.fromkeys(mark.sha256 for mark in marks))
    with transaction() as session:
        has = _of_slide(session, destination, set(wanted))
        held = _of_project(session, destination.project_id, set(wanted) - has)
    held = {sha256 for sha256 in held if get_storage().exists(f"images/{sha256}")}
    return Known(
        has=[sha256 for sha256 in wanted if sha256 in has],
        held=[sha256 for sha256 in wanted if sha256 in held],
        missing=[sha256 for sha256 in wanted if sha256 not in has | held],
    )


@contextmanager
def opened(found: Known, marks: Sequence[FileMark]) -> Iterator[list[Held]]:
    """Open the files the project holds under the names they shall have."""
    names = {mark.sha256: mark.name for mark in marks}
    with ExitStack() as stack:
        yield [
            Held(names[sha256], stack.enter_context(get_storage().open(f"images/{sha256}"))) for sha256 in found.held
        ]


def _of_slide(session: Session, destination: Destination, sha256s: set[str]) -> set[str]:
    """Return those that were sent to the slide before as a file of this kind, or show one of its cells or fields."""
    shows = Cell if destination.kind == "cells" else Field
    shown = select(Image.sha256).join(shows, shows.image_id == Image.id)
    sent = select(UploadPart.sha256).join(Upload, Upload.id == UploadPart.upload_id)
    return set(session.scalars(shown.where(shows.slide_id == destination.slide_id, Image.sha256.in_(sha256s)))) | set(
        session.scalars(
            sent.where(
                Upload.slide_id == destination.slide_id,
                Upload.kind == destination.kind,
                UploadPart.sha256.in_(sha256s),
            )
        )
    )


def _of_project(session: Session, project_id: int, sha256s: set[str]) -> set[str]:
    """Return those that show a cell or a field of the project."""
    found: set[str] = set()
    for shows in (Cell, Field):
        query = select(Image.sha256).join(shows, shows.image_id == Image.id)
        found |= set(session.scalars(query.where(shows.project_id == project_id, Image.sha256.in_(sha256s))))
    return found
