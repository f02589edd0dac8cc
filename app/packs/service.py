"""Asking for lab packs, receiving them, and what becomes of one that is taken in."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs, signing
from app.db import now
from app.errors import Conflict
from app.events import publish
from app.forms import refusal
from app.language import _
from app.models import Classifier, Encoder, Pack, Project, Scanner, Slide, User
from app.models.audit import record
from app.packs import queries
from app.packs.forms import NewPack, TakeIn
from app.packs.manifest import Manifest
from app.projects import service as projects
from app.projects.forms import ClassForm
from app.slides import states
from app.storage import Stored, get_storage


def summary(manifest: Manifest) -> dict[str, Any]:
    """Return what people want to know of a pack, as JSON."""
    return {**manifest.model_dump(mode="json", exclude={"files"}), "signed_by": signing.spoken(manifest.key)}


def ask(session: Session, project: Project, form: NewPack, by: User) -> Pack:
    """Have a pack made. Raises Invalid for a version of another project."""
    classifier = session.get(Classifier, form.classifier_id)
    if classifier is None or classifier.project_id != project.id:
        raise refusal({"classifier_id": _("This project has no such version.")})
    pack = Pack(
        kind="export", project_id=project.id, classifier_id=classifier.id, with_images=form.with_images,
        sha256=None, size=None, found=None, created_by=by.id, created_at=now(),
    )  # fmt: skip
    session.add(pack)
    session.flush()
    record(session, "pack.made", by=by.id, project_id=project.id, version=classifier.version, pictures=form.with_images)
    jobs.do_pack(session, project.id, pack.id, "export")
    return pack


def receive(session: Session, stored: Stored, by: User) -> Pack:
    """Have a pack that was sent in, and is stored, looked into."""
    pack = Pack(
        kind="import", project_id=None, classifier_id=None, with_images=False, sha256=stored.sha256, size=stored.size,
        found=None, created_by=by.id, created_at=now(),
    )  # fmt: skip
    session.add(pack)
    session.flush()
    jobs.do_pack(session, None, pack.id, "examine")
    return pack


def ask_in(session: Session, pack: Pack, form: TakeIn, by: User) -> None:
    """Have a pack taken in. Raises Invalid if the key is not that of the pack or a project has the name, Conflict."""
    if pack.found is None or pack.project_id is not None:
        raise Conflict(_("This pack has not been checked, or has been taken in already."))
    if form.key.upper().replace(" ", "") != pack.found["signed_by"]:
        raise refusal({"key": _("This is not the key that signed the pack. Do not take it in; ask the other lab.")})
    if session.scalar(select(Project.id).where(Project.name == form.name)):
        raise refusal({"name": _("There is already a project with this name.")})
    pack.project_name, pack.created_by = form.name, by.id
    jobs.do_pack(session, None, pack.id, "import")


def make_project(
    session: Session, pack: Pack, manifest: Manifest, classes: Sequence[ClassForm], accession: str
) -> None:
    """Make the project a pack becomes, with its scanners and a slide for each. Raises Invalid if its name is taken."""
    by = session.get_one(User, pack.created_by)
    project = projects.create(session, pack.project_name, classes, by)
    project.synthetic = manifest.synthetic
    project.encoder_id = session.scalars(select(Encoder.id).where(Encoder.sha256 == manifest.encoder.sha256)).one()
    for each in manifest.scanners:
        scanner = Scanner(project_id=project.id, name=each.name, um_per_px=each.um_per_px, created_at=now())
        session.add(scanner)
        session.flush()
        about = {"project_id": project.id, "scanner_id": scanner.id, "created_by": by.id, "created_at": now()}
        states.begin(session, Slide(accession=f"{accession} {each.name}", **about))
    pack.project_id = project.id
    record(
        session, "pack.imported", by=by.id, project_id=project.id, sha256=pack.sha256, key=signing.spoken(manifest.key)
    )


def finish(session: Session, pack: Pack, manifest: Manifest) -> None:
    """Note that a pack is a project now; pictures that it did not hold count as deleted."""
    if manifest.images < manifest.cells:
        for slide in session.scalars(select(Slide).where(Slide.project_id == pack.project_id)):
            slide.pictures_deleted_at = now()
    pack.found = {**(pack.found or {}), "taken_in": now().isoformat()}
    assert pack.project_id is not None
    publish(session, pack.project_id, "pack", {"pack_id": pack.id})


def remove(session: Session, pack: Pack) -> None:
    """Delete a pack and its file, unless another holds the same bytes. Raises Conflict while it is being worked on."""
    if queries.is_open(session, pack):
        raise Conflict(_("This pack is being worked on. Wait until that is done."))
    others = select(Pack.id).where(Pack.sha256 == pack.sha256, Pack.id != pack.id)
    if pack.sha256 and session.scalar(others.limit(1)) is None:
        get_storage().delete(f"packs/{pack.sha256}")
    session.delete(pack)
