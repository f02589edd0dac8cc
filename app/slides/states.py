"""The states of a slide from its first image to the signature, and the one way into each."""

from collections.abc import Sequence
from typing import Final, Literal, get_args

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from app import job_queries
from app.db import now
from app.errors import Conflict
from app.events import publish
from app.job import Job
from app.jobs import classify_key, classify_slides
from app.language import N_, _
from app.models import Cell, Embedding, Project, Slide, SlideState, Upload
from app.models.project import lock
from app.slides.queries import dead_job
from app.webhooks.service import announce

State = Literal["receiving", "queued", "processing", "needs_review", "signed", "failed"]
STATES: Final = get_args(State)
NAMES: Final = {
    "receiving": N_("receiving"),
    "queued": N_("queued"),
    "processing": N_("processing"),
    "needs_review": N_("needs review"),
    "signed": N_("signed"),
    "failed": N_("failed"),
}
FOLLOWING: Final[dict[str, set[State]]] = {
    "receiving": {"queued"},
    "queued": {"receiving", "processing", "needs_review", "failed"},
    "processing": {"receiving", "needs_review", "failed"},
    "needs_review": {"receiving", "signed", "failed"},
    "signed": {"needs_review"},
    "failed": {"receiving", "processing", "needs_review"},
}
NO_CELL: Final = N_("No cell was found in what was sent.")


def begin(session: Session, slide: Slide) -> None:
    """Note that a new slide is there, for its images to come."""
    session.add(slide)
    session.flush()
    _enter(session, slide, "receiving", "")


def move(session: Session, slide: Slide, state: State, *, reason: str = "") -> None:
    """Bring a slide into another state; into the one it is in, nothing happens.

    Whoever may be moving it at the same time is waited for. Raises Conflict where the state cannot follow.
    """
    session.refresh(slide, with_for_update=True)
    if state == slide.state:
        return
    if state not in FOLLOWING[slide.state]:
        words = {"old": _(NAMES[slide.state]), "new": _(NAMES[state]), "accession": slide.accession}
        raise Conflict(_("Slide %(accession)s is in state '%(old)s', which '%(new)s' cannot follow.", **words))
    _enter(session, slide, state, reason)


def _enter(session: Session, slide: Slide, state: State, reason: str) -> None:
    slide.state = state
    session.add(SlideState(slide_id=slide.id, state=state, reason=reason, at=now()))
    session.flush()  # what is refreshed later is read from the database
    publish(session, slide.project_id, "slide", {"slide_id": slide.id, "state": state})
    news = {"slide_id": slide.id, "scanner_id": slide.scanner_id, "state": state}
    announce(session, slide.project_id, "slide.state_changed", news)


def reopen(session: Session, slide: Slide) -> None:
    """Let a slide take more images. Raises Conflict if it is signed."""
    refuse_signed(slide)
    move(session, slide, "receiving")


def refuse_signed(slide: Slide) -> None:
    """Raise Conflict if the report of a slide is signed, so that images cannot be added."""
    if slide.state == "signed":
        raise Conflict(
            _(
                "The report of slide %(accession)s is signed. Amend it first, or send the images to a new slide.",
                accession=slide.accession,
            )
        )


def complete(session: Session, slide: Slide) -> None:
    """Say that all images of a slide were sent. Raises Conflict if there are none, or one is still being sent."""
    lock(session, slide.project_id)  # what ends at this moment either sees that it is complete, or is seen
    if slide.state != "receiving":
        return
    uploads = session.scalars(select(Upload).where(Upload.slide_id == slide.id)).all()
    if any(upload.completed_at is None for upload in uploads):
        raise Conflict(_("Files are still being sent to this slide. Complete it when they have arrived."))
    if not uploads and session.scalar(select(Cell.id).where(Cell.slide_id == slide.id).limit(1)) is None:
        raise Conflict(_("No image was sent to this slide yet, so it cannot be complete."))
    move(session, slide, "queued")
    settle(session, slide)


def settle(session: Session, slide: Slide) -> None:
    """Move a complete slide on as far as its images are: unpacked, embedded, all done, or given up."""
    session.refresh(slide, with_for_update=True)
    if slide.state not in {"queued", "processing", "failed"}:
        return
    open_uploads = session.scalars(
        select(Upload).where(Upload.slide_id == slide.id, Upload.finished_at.is_(None))
    ).all()
    unseen = _unseen(session, slide)
    if problem := _given_up(session, slide, open_uploads, unseen):
        move(session, slide, "failed", reason=problem)
    elif open_uploads:
        return
    elif unseen:
        move(session, slide, "processing")
    elif session.scalar(select(Cell.id).where(Cell.slide_id == slide.id).limit(1)) is None:
        move(session, slide, "failed", reason=NO_CELL)
    else:
        _settled(session, slide)


def _settled(session: Session, slide: Slide) -> None:
    """What follows when all cells of a complete slide have their embedding: their classes, then the review."""
    move(session, slide, "processing")
    classify_slides(session, slide.project_id, [slide.id])


def _unseen(session: Session, slide: Slide) -> set[int]:
    """Return the images of the cells of a slide that its project's encoder has not seen."""
    encoder_id = session.get_one(Project, slide.project_id).encoder_id
    seen = and_(Embedding.image_id == Cell.image_id, Embedding.encoder_id == encoder_id)
    query = select(Cell.image_id).join(Embedding, seen, isouter=True)
    return set(session.scalars(query.where(Cell.slide_id == slide.id, Embedding.id.is_(None))))


def _given_up(session: Session, slide: Slide, open_uploads: Sequence[Upload], unseen: set[int]) -> str:
    """Return why the work on a slide was given up, nothing if it was not."""
    for upload in open_uploads:
        if job := dead_job(session, upload.id):
            return job.message
    if unseen:
        dead = select(Job).where(Job.project_id == slide.project_id, Job.kind == "cells.embed", Job.state == "dead")
        for job in session.scalars(dead):
            if not unseen.isdisjoint(job.arguments["image_ids"]):
                return job.message
    last = job_queries.newest(session, classify_key(slide.id))
    return last.message if last and last.state == "dead" else ""
