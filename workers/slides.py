"""Turns what was received of an upload into cells.

Images are decoded and checked in a few threads (Pillow lets go of the interpreter), stored in batches, and each batch
is one transaction with everything it changes, the place to go on from included. So a worker that is killed repeats at
most one batch, and nothing is counted twice.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final

import PIL.Image
from sqlalchemy import select

from app.db import reading
from app.models import Job, Project, Scanner, Slide, Upload, UploadPart
from app.slides.pseudonyms import kept_member_name
from app.storage import get_storage
from workers import slide_rows, whole_slides
from workers.archives import Member, read_members
from workers.examining import Result, centred, cut, examine
from workers.outcomes import Outcome
from workers.runner import Task
from workers.slide_archives import holds_slide
from workers.slide_rows import CRASHED, STRIKES, OvertakenError

THREADS: Final = max(2, min(4, os.cpu_count() or 1))
BATCH: Final = 200  # images per transaction
AHEAD: Final = 200  # images read before they are stored, so that the threads have work while the disk is flushed
HELD_BYTES: Final = 32_000_000  # of files held ahead, and of files in one batch
PARTS: Final = 500  # read from the database at a time

LOOKS: Final = {"field": cut, "off_centre": centred}

Examine = Callable[[Member], Result]

# Pillow would give the memory of each image back to the system and ask for it again, which costs as much as decoding.
PIL.Image.core.set_blocks_max(8)  # type: ignore[attr-defined]  # documented under "Block Allocator"


def unpack(task: Task) -> None:
    """Store the images of all open parts of the upload, also of those arriving meanwhile; finish it when complete.

    After a crash, the files that were on their way are taken one by one, each marked before it is touched: a file that
    ends the worker is refused by the next attempt, and its neighbours become cells.
    """
    upload_id = task.arguments["upload_id"]
    with reading() as session:
        careful = session.get_one(Job, task.job_id).attempts > 1
        upload = session.get_one(Upload, upload_id)
        um_per_px = session.scalar(select(Scanner.um_per_px).join(Slide).where(Slide.id == upload.slide_id))
    slide_rows.begin(task, upload_id)
    look = examine if upload.kind == "cells" else partial(LOOKS[upload.kind], um_per_px=um_per_px)
    while not (
        _unpack_open_slides(task, upload, um_per_px, careful=careful)
        and _unpack_open_parts(task, upload_id, look, careful=careful)
    ):
        careful = False
    slide_rows.finish(task, upload_id)


def _unpack_open_slides(task: Task, upload: Upload, um_per_px: float | None, *, careful: bool) -> bool:
    """Return False where another job of the same upload was faster, and what is open has to be looked up again."""
    if upload.kind != "field":
        return True
    try:
        for part in _open_parts(upload.id):
            if holds_slide(part):
                whole_slides.unpack(task, part, um_per_px, careful=careful)
    except OvertakenError:
        return False
    return True


def _unpack_open_parts(task: Task, upload_id: int, examine: Examine, *, careful: bool) -> bool:
    """The same for single images and ZIPs."""
    members = _open_members(upload_id)
    with ThreadPoolExecutor(THREADS, "decode") as pool:
        try:
            if careful:
                on_their_way = islice(members, AHEAD + BATCH)
                for batch in _batches(_alone(task, part, member, examine) for part, member in on_their_way):
                    # What fails from here on, such as a full disk, is not the fault of the file tried last.
                    slide_rows.mark(task, batch[-1].part_id, None)
                    slide_rows.store(task, upload_id, batch)
            for batch in _batches(_in_parallel(pool, members, examine)):
                slide_rows.store(task, upload_id, batch)
        except OvertakenError:
            pool.shutdown(cancel_futures=True)
            return False
    return True


def _open_members(upload_id: int) -> Iterator[tuple[UploadPart, Member]]:
    """Read all members of the parts not unpacked yet, one after the other."""
    with reading() as session:
        project = select(Project).join(Slide).join(Upload).where(Upload.id == upload_id)
        nameless = session.scalars(project).one().accession_key is not None
    for part in _open_parts(upload_id):
        with get_storage().open(f"uploads/{part.sha256}") as file:
            for member in read_members(part.name, file, part.size, part.next_member):
                yield part, _nameless(part, member) if nameless else member


def _open_parts(upload_id: int) -> Iterator[UploadPart]:
    last = 0
    mine = (UploadPart.upload_id == upload_id) & UploadPart.unpacked_at.is_(None)
    while True:
        with reading() as session:
            query = select(UploadPart).where(mine, UploadPart.id > last).order_by(UploadPart.id).limit(PARTS)
            parts = session.scalars(query).all()
        if not parts:
            return
        yield from parts
        last = parts[-1].id


def _nameless(part: UploadPart, member: Member) -> Member:
    if member.name == part.name:  # no member of an archive
        return member
    return replace(member, name=kept_member_name(part.name, member.index, member.name))


def _alone(task: Task, part: UploadPart, member: Member, examine: Examine) -> Outcome:
    """Examine a member after noting that it is tried; the one that was noted when the worker stopped is refused."""
    if part.trying == member.index and part.strikes >= STRIKES:
        return Outcome(part.id, member, CRASHED)
    if part.trying is None or member.index >= part.trying:  # those before it were read without harm
        slide_rows.mark(task, part.id, member.index)
    return Outcome(part.id, member, examine(member))


def _in_parallel(
    pool: ThreadPoolExecutor, members: Iterator[tuple[UploadPart, Member]], examine: Examine
) -> Iterator[Outcome]:
    """Examine members in threads, a bounded number and weight of them ahead; the order stays."""
    waiting: deque[tuple[int, Member, Future[Result]]] = deque()
    held = 0
    for part, member in members:
        waiting.append((part.id, member, pool.submit(examine, member)))
        held += member.size
        while held > HELD_BYTES or len(waiting) > AHEAD:
            part_id, first, found = waiting.popleft()
            held -= first.size
            yield Outcome(part_id, first, found.result())
    for part_id, member, found in waiting:
        yield Outcome(part_id, member, found.result())


def _batches(outcomes: Iterator[Outcome]) -> Iterator[list[Outcome]]:
    batch: list[Outcome] = []
    held = 0
    for outcome in outcomes:
        batch.append(outcome)
        held += outcome.size
        if len(batch) == BATCH or held > HELD_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
