"""Registering encoder files and switching a project to another encoder."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.config import get_settings
from app.db import now
from app.errors import Conflict, Invalid
from app.language import _
from app.models import Encoder, Project
from app.models.audit import record
from app.models.project import lock
from app.storage import get_storage

BUNDLED = Path(__file__).parents[2] / "workers" / "ml" / "weights"
METADATA_KEY = "fiftycells_encoder"  # docs/encoders.md describes the file


def default_encoder(session: Session) -> Encoder:
    """Return the encoder of new projects: the one in the settings, or the bundled one."""
    path = get_settings().encoder or next(BUNDLED.glob("*.safetensors"))
    return register(session, path)


def register(session: Session, path: Path) -> Encoder:
    """Keep an encoder file and return its row; the same file twice is one encoder. Raises Invalid."""
    description = _description(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        known = session.scalar(select(Encoder).where(Encoder.sha256 == sha256))
        if known:
            return known
        file.seek(0)
        get_storage().put("encoders", file)
    encoder = Encoder(
        sha256=sha256, name=description["spec"]["name"], dim=description["dim"], card=description, created_at=now()
    )
    session.add(encoder)
    session.flush()
    return encoder


def _description(path: Path) -> dict[str, Any]:
    """Read what an encoder file says about itself, without loading its weights."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise Invalid(
            _("%(name)s is not an encoder file (safetensors): %(error)s", name=path.name, error=error)
        ) from error
    if METADATA_KEY not in metadata:
        raise Invalid(_("%(name)s is a safetensors file but not an encoder of Fiftycells.", name=path.name))
    description: dict[str, Any] = json.loads(metadata[METADATA_KEY])
    return description


def switch(session: Session, project: Project, encoder: Encoder, *, by: int | None) -> None:
    """Move a project to another encoder: its images are embedded in the background while the old embeddings serve.

    Raises Conflict while an earlier switch is still under way.
    """
    lock(session, project.id)
    session.refresh(project)
    if project.next_encoder_id is not None:
        raise Conflict(_("This project is already moving to another encoder. Wait until that is done."))
    if encoder.id == project.encoder_id:
        raise Conflict(_("This project already uses %(name)s.", name=encoder.name))
    record(
        session,
        "project.encoder_switch_started",
        by=by,
        project_id=project.id,
        changes={"encoder": [session.get_one(Encoder, project.encoder_id).title, encoder.title]},
    )
    project.next_encoder_id = encoder.id
    jobs.embed_missing(session, project.id, encoder.id)
