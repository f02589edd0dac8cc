"""What unpacking writes to the database: each function is one transaction of a job that is still ours."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import jobs
from app.db import insert_into, now, reading
from app.language import N_
from app.models import Cell, Embedding, Field, Image, Project, Refusal, Slide, Upload, UploadPart
from app.models.project import lock
from app.slides import states
from app.slides.queries import progress
from app.slides.service import tell
from app.storage import get_storage
from workers import slide_files
from workers.archives import Member
from workers.runner import Task
from workers.slide_files import KeptFile, received_file

LISTED_REFUSALS = 1000  # per upload; further ones are only counted
STRIKES = 2  # a worker can be ended by other causes, so a file is tried alone more than once
CRASHED = N_("the worker stopped each time it read this file")


class OvertakenError(Exception):
    """Another job of the same upload has stored these members already."""


@dataclass(frozen=True)
class Found:
    """A decoded image to keep; `format` is Pillow's name of it, `box` its place in a field it was cut from.

    `received` is the file it came in, where that holds more than its pixels.
    """

    data: bytes
    name: str
    sha256: str
    format: str
    width: int
    height: int
    box: tuple[int, int, int, int] | None = None
    received: bytes | None = None


@dataclass(frozen=True)
class Cut:
    """A field, the diameter of its red cells in pixels, and the cells cut from it."""

    field: Found
    red_cell_px: float
    cells: Sequence[Found]


@dataclass(frozen=True)
class InField:
    """Cells from a part of a field that is stored already."""

    field_id: int
    cells: Sequence[Found]


@dataclass(frozen=True)
class Outcome:
    """What became of a member: an image or field, the reason why it is refused, or None if it was passed over."""

    part_id: int
    member: Member
    result: Found | Cut | InField | str | None

    @property
    def cells(self) -> Sequence[Found]:
        """Images that become cells."""
        match self.result:
            case Found() as found:
                return [found]
            case Cut(cells=cells) | InField(cells=cells):
                return cells
        return []

    @property
    def originals(self) -> Sequence[Found]:
        """All images to keep."""
        return [self.result.field, *self.result.cells] if isinstance(self.result, Cut) else self.cells

    @property
    def size(self) -> int:
        """Bytes in memory."""
        made = [found.data for found in self.originals if found.data is not self.member.data]
        return self.member.size + sum(map(len, made))


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
    image_ids, created = add_images(session, images)
    field_ids = in_fields | _add_fields(session, slide, image_ids, fields)
    rows = [
        {
            "project_id": slide.project_id,
            "slide_id": slide.id,
            "scanner_id": slide.scanner_id,
            "image_id": image_ids[sha256],
            "name": found.name,
            "field_id": field_ids.get(sha256),
            "box": found.box and list(found.box),
            "created_at": now(),
        }
        for sha256, found in images.items()
        if sha256 not in fields
    ]
    if not rows:
        return 0
    insert = insert_into(session, Cell).on_conflict_do_nothing(index_elements=[Cell.slide_id, Cell.image_id])
    stored = session.scalars(insert.returning(Cell.image_id), rows).all()
    known = _on_other_slides(session, slide, set(stored) - created)
    counts = Counter(upload.elsewhere) + Counter(str(slide_id) for slide_id in known.values())
    upload.elsewhere = dict(counts)
    # What is on another slide of the project has been queued with that slide.
    queue_embedding(session, slide.project_id, [image_id for image_id in stored if image_id not in known])
    return len(stored)


def _add_fields(session: Session, slide: Slide, image_ids: dict[str, int], fields: dict[str, Cut]) -> dict[str, int]:
    """Make each image a field of the slide unless it is one; returns the field's id by the sha256 of each cell."""
    found: dict[str, int] = {}
    for sha256, cut in fields.items():
        mine = {"slide_id": slide.id, "image_id": image_ids[sha256]}
        field = session.scalar(select(Field).filter_by(**mine))
        if field is None:
            field = Field(
                project_id=slide.project_id, name=cut.field.name, red_cell_px=cut.red_cell_px, created_at=now(), **mine
            )
            session.add(field)
            session.flush()
        found |= dict.fromkeys([cell.sha256 for cell in cut.cells], field.id)
    return found


def add_images(session: Session, images: dict[str, Found]) -> tuple[dict[str, int], set[int]]:
    """Return the image id of each sha256, and the ids of those that are new."""
    if not images:
        return {}, set()
    rows = [
        {
            "sha256": sha256,
            "format": found.format,
            "width": found.width,
            "height": found.height,
            "size": len(found.data),
            "created_at": now(),
        }
        for sha256, found in images.items()
    ]
    insert = insert_into(session, Image).on_conflict_do_nothing(index_elements=[Image.sha256])
    created = set(session.scalars(insert.returning(Image.id), rows))
    ids = session.execute(select(Image.sha256, Image.id).where(Image.sha256.in_(images)))
    return {row.sha256: row.id for row in ids}, created


def _on_other_slides(session: Session, slide: Slide, image_ids: Collection[int]) -> dict[int, int]:
    """Return the first other slide of the project that shows each of these images, where there is one."""
    query = (
        select(Cell.image_id, func.min(Cell.slide_id))
        .where(Cell.project_id == slide.project_id, Cell.slide_id != slide.id, Cell.image_id.in_(image_ids))
        .group_by(Cell.image_id)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def queue_embedding(session: Session, project_id: int, image_ids: Sequence[int]) -> None:
    """Queue embedding by the project's encoder, and by the next one while the project moves to it."""
    project = session.get_one(Project, project_id)
    for encoder_id in (project.encoder_id, project.next_encoder_id):
        if encoder_id is None:
            continue
        query = select(Embedding.image_id).where(Embedding.encoder_id == encoder_id, Embedding.image_id.in_(image_ids))
        seen = set(session.scalars(query))
        new = [image_id for image_id in image_ids if image_id not in seen]
        jobs.embed_images(session, project_id, encoder_id, new)


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
            if upload.stored and not jobs.remaining_images(session, task.project_id):
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
