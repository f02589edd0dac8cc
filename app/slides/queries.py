"""What the pages of slides show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from app import job_queries
from app.db import now
from app.language import N_
from app.models import (
    Cell,
    Embedding,
    Field,
    Image,
    Job,
    Project,
    Refusal,
    Scanner,
    Slide,
    SlideState,
    Upload,
    UploadPart,
    User,
)

PAGE = 100  # slides
SHOWN_UPLOADS = 20
SHOWN_REFUSALS = 20  # on the page of the slide; the rest has a page of its own
# A browser gives a sign of life every 20 s, a hidden tab at least once a minute.
SILENCE = timedelta(seconds=150)
READING = N_("Reading the slide")  # the message of a job that looks into a whole slide


@dataclass(frozen=True)
class SlideRow:
    """A line of the list of slides."""

    slide: Slide
    scanner: str
    cells: int
    labelled: int


@dataclass(frozen=True)
class UploadView:
    """An upload as the page shows it. `phase`: sending, stopped, unpacking, failed or done."""

    upload: Upload
    phase: str
    sender: str
    done: int  # members unpacked
    total: int  # members known of; a ZIP not opened yet counts as one
    refusals: Sequence[Refusal]
    elsewhere: Sequence[tuple[Slide, int]]
    problem: str  # why it failed
    reading: Job | None  # reads a whole slide before it can be searched


@dataclass(frozen=True)
class Counts:
    """Cells of a slide: all, those with a label, those the encoder has seen."""

    cells: int
    labelled: int
    embedded: int


def page(session: Session, project: Project, before: int | None) -> list[SlideRow]:
    """Return up to PAGE + 1 slides of a project, newest first, older than the slide `before`."""
    query = (
        select(Slide, Scanner.name)
        .join(Scanner, Scanner.id == Slide.scanner_id)
        .where(Slide.project_id == project.id)
        .order_by(Slide.id.desc())
        .limit(PAGE + 1)
    )
    found = session.execute(query.where(Slide.id < before) if before else query).all()
    ids = [slide.id for slide, _ in found]
    counts = _counts(session, ids)
    return [SlideRow(slide, scanner, *counts.get(slide.id, (0, 0))) for slide, scanner in found]


def _counts(session: Session, slide_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    query = (
        select(Cell.slide_id, func.count(), func.count(Cell.class_id))
        .where(Cell.slide_id.in_(slide_ids), ~Cell.removed)
        .group_by(Cell.slide_id)
    )
    return {slide_id: (cells, labelled) for slide_id, cells, labelled in session.execute(query)}


def states(session: Session, slide: Slide) -> Sequence[SlideState]:
    """Return the states a slide was in, oldest first."""
    return session.scalars(select(SlideState).where(SlideState.slide_id == slide.id).order_by(SlideState.id)).all()


def counts(session: Session, project: Project, slide: Slide) -> Counts:
    """Count the cells of a slide."""
    seen = and_(Embedding.image_id == Cell.image_id, Embedding.encoder_id == project.encoder_id)
    query = (
        select(func.count(), func.count(Cell.class_id), func.count(Embedding.id))
        .select_from(Cell)
        .join(Embedding, seen, isouter=True)
        .where(Cell.slide_id == slide.id, ~Cell.removed)
    )
    return Counts(*session.execute(query).one())


def fields_of(session: Session, slide: Slide) -> Sequence[tuple[Field, Image, int]]:
    """Return the fields of a slide, their images, and how many cells each has."""
    count = select(func.count()).where(Cell.field_id == Field.id, ~Cell.removed).scalar_subquery()
    query = select(Field, Image, count).join(Image, Image.id == Field.image_id).where(Field.slide_id == slide.id)
    return [(row[0], row[1], row[2]) for row in session.execute(query.order_by(Field.id))]


def uploads(session: Session, slide: Slide) -> list[UploadView]:
    """Return the newest uploads to a slide, and how far each is."""
    query = (
        select(Upload, User.name)
        .join(User, User.id == Upload.user_id, isouter=True)
        .where(Upload.slide_id == slide.id)
        .order_by(Upload.id.desc())
        .limit(SHOWN_UPLOADS)
    )
    return [_view(session, upload, sender) for upload, sender in session.execute(query)]


def _view(session: Session, upload: Upload, sender: str | None) -> UploadView:
    dead = None if upload.finished_at else dead_job(session, upload.id)
    done, total = progress(session, upload.id)
    return UploadView(
        upload,
        _phase(upload, dead),
        sender or "",
        done,
        total,
        refusals(session, upload, SHOWN_REFUSALS),
        _elsewhere(session, upload),
        dead.message if dead else "",
        _reading(session, upload),
    )


def dead_job(session: Session, upload_id: int) -> Job | None:
    """Return the newest job of an upload if it was given up."""
    job = job_queries.newest(session, f"unpack:{upload_id}")
    return job if job and job.state == "dead" else None


def _reading(session: Session, upload: Upload) -> Job | None:
    mine = (Job.dedupe_key == f"unpack:{upload.id}") & (Job.state == "running") & (Job.message == READING)
    return None if upload.finished_at else session.scalar(select(Job).where(mine).limit(1))


def progress(session: Session, upload_id: int) -> tuple[int, int]:
    """Return how many files of an upload are unpacked and how many are known of; an unopened part counts as one."""
    query = select(func.sum(UploadPart.next_member), func.sum(func.coalesce(UploadPart.members, 1)))
    done, total = session.execute(query.where(UploadPart.upload_id == upload_id)).one()
    return int(done or 0), int(total or 0)


def _phase(upload: Upload, dead: Job | None) -> str:
    if upload.finished_at:
        return "done"
    if dead:
        return "failed"
    if upload.completed_at:
        return "unpacking"
    alive = upload.heard_at is not None and now() - upload.heard_at < SILENCE
    return "sending" if alive else "stopped"


def refusals(session: Session, upload: Upload, limit: int) -> Sequence[Refusal]:
    """Return the first refused files of an upload."""
    query = select(Refusal).where(Refusal.upload_id == upload.id).order_by(Refusal.id).limit(limit)
    return session.scalars(query).all() if upload.refused else []


def originals_due(session: Session, project: Project, slide: Slide) -> datetime | None:
    """Return from when on the originals of a slide may be deleted; None if they stay or were deleted."""
    newest = session.scalar(select(func.max(Upload.created_at)).where(Upload.slide_id == slide.id)) or slide.created_at
    if project.retention_days is None or (slide.originals_deleted_at and slide.originals_deleted_at >= newest):
        return None
    return newest + timedelta(days=project.retention_days)


def _elsewhere(session: Session, upload: Upload) -> list[tuple[Slide, int]]:
    if not upload.elsewhere:
        return []
    slides = session.scalars(select(Slide).where(Slide.id.in_([int(key) for key in upload.elsewhere])))
    return sorted(((slide, upload.elsewhere[str(slide.id)]) for slide in slides), key=lambda pair: -pair[1])
