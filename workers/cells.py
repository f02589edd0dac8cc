"""Embedding of cell images."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app import job_queries, jobs
from app.db import insert_into, reading
from app.events import publish
from app.maps.queries import map_of
from app.models import Cell, Embedding, Encoder, Image, Job, Project, Slide
from app.models.project import lock
from app.slides import states
from app.storage import get_storage
from workers import encoders
from workers.ml.embedding import VectorEncoder
from workers.ml.embedding import embed as embed_blobs
from workers.runner import Task

CHUNK = 64  # images between two saves and two movements of the progress bar
REFIT_EVERY = 16  # batches of a long run of embedding between two fits that score what is new

CRASHED_ONCE = "The worker stopped while it was reading this image; it is tried once more."
CRASHED = "The worker stopped twice while it was reading this image."
MISSING = "The stored file of this image is missing."


def embed(task: Task) -> None:
    """Give each image of the job its embedding; images that already have one fall out.

    After a crash the images that were on their way are taken one by one, each marked before it is touched, so that an
    image that kills the worker is left out by a later attempt and its neighbours are embedded.
    """
    encoder_id, total = task.arguments["encoder_id"], len(task.arguments["image_ids"])
    with reading() as session:
        todo = _without_embedding(session, encoder_id, task.arguments["image_ids"])
        suspects = CHUNK if session.get_one(Job, task.job_id).attempts > 1 else 0
    encoder = encoders.load(encoder_id)
    start = 0
    while start < len(todo):
        chunk = todo[start : start + (1 if start < suspects else CHUNK)]
        if start < suspects:
            with task.transaction() as session:
                _store(session, encoder_id, [(chunk[0].id, None, _strike(chunk[0]))])
        rows = _embed_chunk(encoder, chunk)
        with task.transaction() as session:
            _store(session, encoder_id, rows)
        start += len(chunk)
        task.progress(total - len(todo) + start, total)
    _after_batch(task)


@dataclass(frozen=True)
class Todo:
    """An image without an embedding; `error` is set if a worker stopped while it had only this one in hand."""

    id: int
    sha256: str
    error: str | None


def _without_embedding(session: Session, encoder_id: int, image_ids: Sequence[int]) -> list[Todo]:
    """Return the images still to be embedded in the order they are taken: those under suspicion first."""
    mine = (Embedding.image_id == Image.id) & (Embedding.encoder_id == encoder_id)
    query = (
        select(Image.id, Image.sha256, Embedding.error)
        .outerjoin(Embedding, mine)
        .where(Image.id.in_(image_ids), Embedding.id.is_(None) | (Embedding.error == CRASHED_ONCE))
        .order_by(Embedding.id.is_(None), Image.id)
    )
    return [Todo(row.id, row.sha256, row.error) for row in session.execute(query)]


def _strike(image: Todo) -> str:
    """Note an image before it is tried alone; twice, because a worker can be ended by other causes too."""
    return CRASHED if image.error else CRASHED_ONCE


def _embed_chunk(encoder: VectorEncoder, chunk: Sequence[Todo]) -> list[tuple[int, bytes | None, str | None]]:
    """Return (image id, float16 bytes, error) of each image; exactly one of the last two is set."""
    storage = get_storage()
    present = [(image.id, f"images/{image.sha256}") for image in chunk]
    lost = {image_id for image_id, key in present if not storage.exists(key)}
    readable = [(image_id, key) for image_id, key in present if image_id not in lost]
    result = embed_blobs(encoder, [storage.read(key) for _, key in readable])
    rows: list[tuple[int, bytes | None, str | None]] = [(image_id, None, MISSING) for image_id in lost]
    for position, (image_id, _) in enumerate(readable):
        error = result.errors.get(position)
        vector = None if error else result.vectors[position].astype("<f2", copy=False).tobytes()
        rows.append((image_id, vector, error))
    return rows


def _store(session: Session, encoder_id: int, rows: Sequence[tuple[int, bytes | None, str | None]]) -> None:
    # One writer per encoder at a time: ids are committed in order, and the matrix finds what is new by id.
    session.execute(select(Encoder.id).where(Encoder.id == encoder_id).with_for_update(key_share=True))
    # What failed is deleted, not updated: whoever looks for what is new finds it by its id.
    failed = Embedding.image_id.in_([image_id for image_id, _, _ in rows]) & Embedding.vector.is_(None)
    session.execute(delete(Embedding).where(Embedding.encoder_id == encoder_id, failed))
    values = [
        {"encoder_id": encoder_id, "image_id": image_id, "vector": vector, "error": error}
        for image_id, vector, error in rows
    ]
    session.execute(
        insert_into(session, Embedding).on_conflict_do_nothing(
            index_elements=[Embedding.encoder_id, Embedding.image_id]
        ),
        values,
    )


def _after_batch(task: Task) -> None:
    """Tell the browsers how far embedding is; score what is new; finish a move to another encoder."""
    with reading() as session:
        total = session.scalar(select(func.count()).where(Cell.project_id == task.project_id)) or 0
    with task.transaction() as session:
        lock(session, task.project_id)  # of two batches that end together, the second knows that the first has ended
        job = session.get_one(Job, task.job_id)
        job.progress_done = job.progress_total
        left = job_queries.remaining_images(session, task.project_id)
        _settle_slides(session, task)
        publish(session, task.project_id, "embedding", {"done": max(0, total - left), "total": total})
        project = session.get_one(Project, task.project_id)
        if project.next_encoder_id == task.arguments["encoder_id"]:
            if left == 0:
                encoders.finish_switch(session, task.project_id)
        elif left == 0 or task.job_id % REFIT_EVERY == 0:
            jobs.fit_classifier(session, task.project_id)
            if map_of(session, project):
                jobs.extend_map(session, task.project_id)


def _settle_slides(session: Session, task: Task) -> None:
    """Move on complete slides that show images of this job."""
    here = (Cell.project_id == task.project_id) & Cell.image_id.in_(task.arguments["image_ids"])
    waiting = select(Slide).where(
        Slide.id.in_(select(Cell.slide_id).where(here)), Slide.state.in_(("queued", "processing", "failed"))
    )
    for slide in session.scalars(waiting.order_by(Slide.id)).all():
        states.settle(session, slide)
