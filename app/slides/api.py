"""REST endpoints of the slides: create, list, send images. What is known of one: predictions.results_api."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import select

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.forms import Id, printable
from app.models import Slide
from app.projects.access import ViewableProject
from app.rest import PREFIX, Page, Paging, problems, rest_router, rows_of_page
from app.slides import known, receiving, service, states
from app.slides.access import EditableSlide, SlideDestination
from app.slides.forms import KINDS, MOST_FILES, MOST_MARKS, FileMark, Kind, NewSlide, kind_of, received_files
from app.slides.pseudonyms import names_of
from app.storage import Stored

router = rest_router("slides")


class SlideItem(BaseModel):
    """One submission from one scanner."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    project_id: int
    scanner_id: int
    accession: str = Field(description="As it was sent; in a pseudonymous project a pseudonym of it.")
    state: states.State
    created_at: datetime
    originals_deleted_at: datetime | None = Field(description="When its fields and received files were deleted.")


class SlideForm(NewSlide):
    """A slide to create; its accession occurs once in a project."""

    model_config = ConfigDict(extra="forbid")


class SlideQuery(Paging):
    """Which slides are wanted."""

    accession: Annotated[str, AfterValidator(printable)] = ""
    scanner_id: Id | None = None
    state: states.State | None = None


class Accepted(BaseModel):
    """The files are stored; the job makes cells of them."""

    upload_id: int
    job_id: int


def slide_item(slide: Slide) -> SlideItem:
    """Return a slide as lists show it."""
    return SlideItem.model_validate(slide)


@router.post("/projects/{project_id}/slides", status_code=201, summary="Create a slide")
def create(
    project: ViewableProject, form: SlideForm, user: CurrentUser, session: SessionDep, response: Response
) -> SlideItem:
    """Create a slide. An accession the project has already is a conflict, whose `slide_id` names the other slide.

    A pseudonymous project keeps a keyed hash of the accession; go on naming the slide by the accession you know.
    """
    scanner = service.scanner_of(session, project, form.scanner_id)
    slide = service.create_slide(session, project, form.accession, scanner, user)
    response.headers["Location"] = f"{PREFIX}/slides/{slide.id}"
    return slide_item(slide)


@router.get("/projects/{project_id}/slides", summary="List slides")
def index(project: ViewableProject, session: SessionDep, wanted: Annotated[SlideQuery, Query()]) -> Page[SlideItem]:
    """List the slides of a project."""
    query = select(Slide.id, Slide).where(Slide.project_id == project.id)
    if wanted.accession:
        query = query.where(Slide.accession.in_(names_of(project, wanted.accession)))
    if wanted.scanner_id is not None:
        query = query.where(Slide.scanner_id == wanted.scanner_id)
    if wanted.state is not None:
        query = query.where(Slide.state == wanted.state)
    rows, next_cursor = rows_of_page(session, query, Slide.id, wanted)
    return Page(items=[slide_item(row.Slide) for row in rows], next_cursor=next_cursor)


@dataclass(frozen=True)
class Received:
    """Files whose bytes are stored, before anything is written to the database."""

    kind: str
    files: Sequence[receiving.IncomingFile]
    stored: Sequence[Stored]


async def received_images(request: Request, _destination: SlideDestination) -> AsyncIterator[Received]:
    """Store the files of the body while no transaction is open; rights were looked at before the body was read."""
    async with received_files(request) as files:
        kind = await kind_of(request)
        stored = await run_in_threadpool(receiving.store, files)
        parts = [kind, *([file.filename, each.sha256] for file, each in zip(files, stored, strict=True))]
        # What tells a repeated request from another one: boundaries differ each time the same files are sent.
        request.state.body_sha256 = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        yield Received(kind, files, stored)


FORM = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "minItems": 1,
            "maxItems": MOST_FILES,
            "description": "JPEG, PNG, BMP, TIFF or WebP files, or ZIPs of them; a ZIP counts as its images.",
        },
        "kind": {
            "type": "string",
            "enum": list(KINDS),
            "default": "cells",
            "description": "What the images show: one cell each, a field of the smear, from which cells are cut, or "
            "one cell that is off-centre or small, which is cut out.",
        },
    },
}


@router.post(
    "/slides/{slide_id}/images",
    status_code=202,
    summary="Send images",
    dependencies=[Depends(received_images)],  # before the transaction of the request begins
    responses=problems(507),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}},
)
def send_images(
    destination: SlideDestination,
    received: Annotated[Received, Depends(received_images)],
    session: SessionDep,
    response: Response,
) -> Accepted:
    """Add images to a slide. They are stored when this answers; the job at `Location` makes cells of them.

    An image the slide has already is counted as a duplicate, a file that is no usable image is refused by name, and
    all others go through.
    """
    receipt = receiving.add(session, replace(destination, kind=received.kind), received.files, received.stored)
    response.headers["Location"] = f"{PREFIX}/jobs/{receipt.job_id}"
    return Accepted(upload_id=receipt.upload_id, job_id=receipt.job_id)


@router.post("/slides/{slide_id}/complete", status_code=202, summary="Complete a slide")
def complete(slide: EditableSlide, session: SessionDep, response: Response) -> SlideItem:
    """Say that all images were sent. The slide at `Location` goes through `queued` and `processing` to `needs_review`.

    A slide that is complete stays as it is. Images that are sent later open it again. One that hears nothing for some
    time (FIFTYCELLS_COMPLETE_AFTER_SECONDS) is completed without this.
    """
    states.complete(session, slide)
    response.headers["Location"] = f"{PREFIX}/slides/{slide.id}"
    return slide_item(slide)


class KnownForm(BaseModel):
    """Files a client could send."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = "cells"
    files: Annotated[list[FileMark], Field(min_length=1, max_length=MOST_MARKS)]


class KnownFiles(BaseModel):
    """Which of the files have to be sent, by their sha256."""

    has: list[str] = Field(description="The slide has them; nothing is to do.")
    added: list[str] = Field(description="The project held them, and they were added to the slide without being sent.")
    missing: list[str] = Field(description="Send these.")
    upload_id: int | None = Field(description="The upload of those that were added.")
    job_id: int | None


@dataclass(frozen=True)
class Recognised:
    """Files a client asked about; those the project holds are `received` for the slide already."""

    found: known.Known
    received: Received


def recognised_files(form: KnownForm, destination: SlideDestination) -> Iterator[Recognised]:
    """Find and copy the files while no transaction is open, as if they had been sent."""
    found = known.recognise(replace(destination, kind=form.kind), form.files)
    with known.opened(found, form.files) as files:
        yield Recognised(found, Received(form.kind, files, receiving.store(files)))


@router.post(
    "/slides/{slide_id}/known",
    status_code=202,
    summary="Spare sending files that are here",
    dependencies=[Depends(recognised_files)],  # before the transaction of the request begins
    responses=problems(507),
)
def known_files(
    recognised: Annotated[Recognised, Depends(recognised_files)],
    destination: SlideDestination,
    session: SessionDep,
    response: Response,
) -> KnownFiles:
    """Say by their sha256 which files you have, and hear which of them to send.

    An image that the project holds is added to the slide at once. A ZIP is recognised only where it was sent to this
    slide before.
    """
    found, received = recognised.found, recognised.received
    receipt = None
    if received.files:
        receipt = receiving.add(session, replace(destination, kind=received.kind), received.files, received.stored)
        response.headers["Location"] = f"{PREFIX}/jobs/{receipt.job_id}"
    return KnownFiles(
        has=found.has,
        added=found.held,
        missing=found.missing,
        upload_id=receipt and receipt.upload_id,
        job_id=receipt and receipt.job_id,
    )
