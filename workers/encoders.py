"""Loaded encoders, and the move of a project to another one."""

from functools import lru_cache

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app import jobs
from app.db import reading
from app.events import publish
from app.models import Cell, CellMap, Embedding, Encoder, Project
from app.models.audit import record
from app.models.project import lock
from app.storage import get_storage
from workers.ml.embedding import VectorEncoder
from workers.ml.encoders import load_encoder
from workers.runner import Task

BATCH = 20_000  # images queued per transaction


@lru_cache(maxsize=2)
def load(encoder_id: int) -> VectorEncoder:
    """Return an encoder ready to use; the last two stay in memory."""
    with reading() as session:
        encoder = session.get_one(Encoder, encoder_id)
    return load_encoder(get_storage().local_path(f"encoders/{encoder.sha256}"))


def missing(project_id: int, encoder_id: int) -> Select[int]:
    """Select the images of a project that an encoder has not seen."""
    seen = select(Embedding.image_id).where(Embedding.encoder_id == encoder_id)
    return (
        select(Cell.image_id)
        .distinct()
        .where(Cell.project_id == project_id, Cell.image_id.not_in(seen))
        .order_by(Cell.image_id)
    )


def embed_missing(task: Task) -> None:
    """Queue embedding jobs for all images of a project that an encoder has not seen."""
    encoder_id = task.arguments["encoder_id"]
    with reading() as session:
        image_ids = session.scalars(missing(task.project_id, encoder_id)).all()
    for start in range(0, len(image_ids), BATCH):
        with task.transaction() as session:
            jobs.embed_images(session, task.project_id, encoder_id, image_ids[start : start + BATCH])
    if not image_ids:
        with task.transaction() as session:
            finish_switch(session, task.project_id)


def finish_switch(session: Session, project_id: int) -> None:
    """Let a project use its next encoder from now on, if that one has seen all images by now."""
    lock(session, project_id)
    project = session.get_one(Project, project_id, populate_existing=True)
    following = project.next_encoder_id
    if following is None or session.scalar(missing(project_id, following).limit(1)) is not None:
        return
    record(
        session,
        "project.encoder_switched",
        by=None,
        project_id=project_id,
        changes={"encoder": [session.get_one(Encoder, each).title for each in (project.encoder_id, following)]},
    )
    project.encoder_id, project.next_encoder_id = following, None
    jobs.fit_classifier(session, project_id)
    if session.scalar(select(CellMap.id).where(CellMap.project_id == project_id).limit(1)):
        jobs.lay_out_map(session, project_id)
    publish(session, project_id, "encoder", {"encoder_id": following})
