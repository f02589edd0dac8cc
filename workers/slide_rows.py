"""What unpacking writes to the database: each function is one transaction of a job that is still ours."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import job_queries, jobs
from app.db import now, reading
from app.language import N_
from app.models import Cell, Project, Refusal, Slide, Upload, UploadPart
from app.models.project import lock
from app.slides import states
from app.slides.queries import progress
from app.slides.service import tell
from app.storage import get_storage
from workers import slide_files
from workers.cell_rows import add_cells, add_field, add_images, cell_row, image_row, queue_embedding
from workers.outcomes import Cut, Found, InField, Outcome
from workers.runner import Task
from workers.slide_files import KeptFile, received_file

LISTED_REFUSALS = 1000  # per upload; further ones are only counted
STRIKES = 2  # a worker can be ended by other causes, so a file is tried alone more than once
CRASHED = N_("the worker stopped each time it read this file")


class OvertakenError(Exception):
    """Another job of the same upload has stored these members already."""


def begin(task: Task, upload_id: int) -> None:
    """Note that work on a complete slide has begun."""
    with task.transaction() as session:
        slide = session.get_one(Slide, session.get_one(Upload, upload_id).slide_id)
        if slide.state in {"queued", "failed"}:
            states.move(session, slide, "processing")


def mark(task: Task, part_id: int, index: int | None) -> None:
    """Note which member of a part is being tried by itself, if any, and for which time."""
    with task.transaction() as session:
        part = session.get_one(UploadPart, part_id)
        part.strikes = part.strikes + 1 if index == part.trying else 1
        part.trying = index


def store(task: Task, upload_id: int, batch: Sequence[Outcome]) -> None:
    """Store a batch: images first, then all rows at once. Raises OvertakenError and LeaseLostError.

    The images may be left without rows by a crash in between; the next attempt finds them.
    """
    fields = {cut.field.sha256: cut for outcome in batch if isinstance(cut := outcome.result, Cut)}
    parts = [part for outcome in batch if isinstance(part := outcome.result, InField)]
    in_fields = {cell.sha256: part.field_id for part in parts for cell in part.cells}
    images: dict[str, Found] = {}
    for outcome in batch:
        for found in outcome.originals:
            images.setdefault(found.sha256, found)
    received = _received(task, images)
    files = [KeptFile("images", found.sha256, found.data) for found in images.values()] + list(received.values())
    slide_files.put(files)
    with task.transaction() as session:
        lock(session, task.project_id)
        upload = session.get_one(Upload, upload_id, with_for_update=True)
        _advance(session, batch)
        stored = _add_cells(session, upload, images, fields, in_fields)
        slide_files.add_originals(session, session.get_one(Slide, upload.slide_id), received)
        slide_files.put_back(files)
        _count(session, upload, batch, stored=stored)
        tell(session, upload, task.project_id)
        done, total = progress(session, upload_id)
    counts = {"done": f"{done:,}", "total": f"{total:,}"}
    task.progress(done, total, N_("%(done)s of %(total)s files or tiles read") % counts)


def _received(task: Task, images: dict[str, Found]) -> dict[str, KeptFile]:
    """Return the files that images, by their sha256, came in, where they are kept as they were received."""
    with reading() as session:
        if not session.get_one(Project, task.project_id).keep_received:
            return {}
    return {sha256: received_file(found.received) for sha256, found in images.items() if found.received}


def _advance(session: Session, batch: Sequence[Outcome]) -> None:
    """Move each part to behind its last member of the batch."""
    for part_id, outcomes in groupby(batch, key=lambda outcome: outcome.part_id):
        members = [outcome.member for outcome in outcomes]
        part = session.get_one(UploadPart, part_id, with_for_update=True)
        if part.next_member != members[0].index or part.unpacked_at is not None:
            raise OvertakenError(f"part {part_id} is at {part.next_member}")
        part.members = members[-1].total
        part.next_member = members[-1].index + 1
        if part.next_member == part.members:
            part.unpacked_at = now()


def _add_cells(
    session: Session, upload: Upload, images: dict[str, Found], fields: dict[str, Cut], in_fields: dict[str, int]
) -> int:
    """Make each image a cell of the slide, or a field, unless it is one; queue the embedding of new cells.

    `in_fields` are the fields of those whose field is stored already. Returns how many cells are new.
    """
    slide = session.get_one(Slide, upload.slide_id)
    image_ids, created = add_images(session, [image_row(found) for found in images.values()])
    field_ids = dict(in_fields)
    for sha256, cut in fields.items():
        field = add_field(session, slide, image_ids[sha256], cut.field.name, cut.red_cell_px)
        field_ids |= dict.fromkeys([cell.sha256 for cell in cut.cells], field.id)
    stored = add_cells(
        session,
        [
            cell_row(slide, image_ids[sha256], found, field_ids.get(sha256))
            for sha256, found in images.items()
            if sha256 not in fields
        ],
    )
    if not stored:
        return 0
    known = _on_other_slides(session, slide, set(stored) - created)
    counts = Counter(upload.elsewhere) + Counter(str(slide_id) for slide_id in known.values())
    upload.elsewhere = dict(counts)
    # What is on another slide of the project has been queued with that slide.
    queue_embedding(session, slide.project_id, [image_id for image_id in stored if image_id not in known])
    return len(stored)


def _on_other_slides(session: Session, slide: Slide, image_ids: Collection[int]) -> dict[int, int]:
    """Return the first other slide of the project that shows each of these images, where there is one."""
    query = (
        select(Cell.image_id, func.min(Cell.slide_id))
        .where(Cell.project_id == slide.project_id, Cell.slide_id != slide.id, Cell.image_id.in_(image_ids))
        .group_by(Cell.image_id)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def _count(session: Session, upload: Upload, batch: Iterable[Outcome], *, stored: int) -> None:
    """Count what became of the batch and list its refusals."""
    found = sum(len(outcome.cells) for outcome in batch)
    refusals = [
        Refusal(upload_id=upload.id, name=outcome.member.name, reason=outcome.result, created_at=now())
        for outcome in batch
        if isinstance(outcome.result, str)
    ]
    session.add_all(refusals[: max(0, LISTED_REFUSALS - upload.refused)])
    upload.images += found + len(refusals)
    upload.stored += stored
    upload.duplicates += found - stored
    upload.refused += len(refusals)


def finish(task: Task, upload_id: int) -> None:
    """Close the upload if its sender said that nothing more comes and no part is open; delete what was received."""
    with task.transaction() as session:
        lock(session, task.project_id)
        upload = session.get_one(Upload, upload_id, with_for_update=True)
        open_part = select(UploadPart.id).where(UploadPart.upload_id == upload_id, UploadPart.unpacked_at.is_(None))
        if upload.completed_at is None or session.scalar(open_part.limit(1)) is not None:
            return
        if upload.finished_at is None:
            upload.finished_at = now()
            if upload.stored and not job_queries.remaining_images(session, task.project_id):
                jobs.fit_classifier(session, task.project_id)  # all were embedded before, so nobody asks for scores
            tell(session, upload, task.project_id)
            session.flush()
            states.settle(session, session.get_one(Slide, upload.slide_id))
        delete_received(session, upload_id)  # also what was sent again after the end


def delete_received(session: Session, upload_id: int) -> None:
    """Delete the bytes of the parts, except those that an open part of another upload shares.

    Before the commit, while nobody can add a part: a receiver adds its rows first and then looks whether the bytes are
    still there. All parts are unpacked, so a transaction that fails after this loses nothing.
    """
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        session.execute(text("LOCK TABLE upload_part IN EXCLUSIVE MODE"))
    still_needed = select(UploadPart.sha256).where(UploadPart.unpacked_at.is_(None))
    mine = (UploadPart.upload_id == upload_id) & UploadPart.sha256.not_in(still_needed)
    for sha256 in session.scalars(select(UploadPart.sha256).where(mine).distinct()):
        get_storage().delete(f"uploads/{sha256}")
