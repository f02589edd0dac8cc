"""Slides and the life of an upload: begun, received, completed."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs, leases
from app.db import now
from app.errors import Conflict, Invalid
from app.events import publish
from app.forms import refusal
from app.language import _
from app.models import Project, Scanner, Slide, Upload, User
from app.models.audit import record
from app.models.project import lock
from app.slides import states
from app.slides.pseudonyms import kept_accession, names_of
from app.slides.queries import dead_job


def scanner_of(session: Session, project: Project, scanner_id: int) -> Scanner:
    """Return a scanner of the project. Raises Invalid."""
    scanner = session.get(Scanner, scanner_id)
    if scanner is None or scanner.project_id != project.id:
        raise refusal({"scanner_id": _("This project has no such scanner.")})
    return scanner


def create_slide(session: Session, project: Project, accession: str, scanner: Scanner, by: User) -> Slide:
    """Create a slide. Raises Conflict, with `slide_id` of the other, if the project has one of this accession."""
    if scanner.project_id != project.id:
        raise Invalid(_("scanner_id: the scanner belongs to another project."))
    lock(session, project.id)
    other = find_by_accession(session, project, accession)
    if other is not None:
        reason = _("There is a slide %(accession)s in this project already.", accession=other.accession)
        raise Conflict(reason, slide_id=other.id, errors=[{"field": "accession", "reason": reason}])
    kept = kept_accession(project, accession)
    slide = Slide(project_id=project.id, scanner_id=scanner.id, accession=kept, created_by=by.id, created_at=now())
    states.begin(session, slide)
    record(session, "slide.created", by=by.id, project_id=project.id, slide_id=slide.id, accession=kept)
    return slide


def find_by_accession(session: Session, project: Project, accession: str) -> Slide | None:
    """Return the slide of the project with this accession, or with this pseudonym of one."""
    names = names_of(project, accession)
    return session.scalar(select(Slide).where(Slide.project_id == project.id, Slide.accession.in_(names)).limit(1))


def begin_upload(session: Session, slide: Slide, by: User, *, kind: str, files: int, size: int) -> Upload:
    """Open an upload that announces how many files and bytes will come; parts follow, then `complete`.

    Raises Conflict if the slide is signed.
    """
    states.reopen(session, slide)
    upload = Upload(
        slide_id=slide.id,
        user_id=by.id,
        kind=kind,
        expected_files=files,
        expected_bytes=size,
        created_at=now(),
        heard_at=now(),
    )
    session.add(upload)
    session.flush()
    tell(session, upload, slide.project_id)
    return upload


def hear(upload: Upload) -> None:
    """Note that the sender is alive; a browser says so while it sends one large file."""
    if upload.completed_at is None:
        upload.heard_at = now()


def stop(session: Session, upload: Upload, project_id: int) -> None:
    """Note that the sender has stopped before the end; what arrived stays, and the rest may follow."""
    if upload.completed_at is None:
        upload.heard_at = None
        tell(session, upload, project_id)


def end_upload(session: Session, upload: Upload, project_id: int) -> int:
    """Close the upload for further files; it is finished once all parts are unpacked. Returns the job id."""
    lock(session, project_id)
    if upload.completed_at is None:
        upload.completed_at = now()
        tell(session, upload, project_id)
    return jobs.unpack_upload(session, project_id, upload.id)


def complete(session: Session, upload: Upload, project_id: int) -> int:
    """Close the upload for further files, and with the last open one its slide; returns the job id."""
    job_id = end_upload(session, upload, project_id)
    session.flush()
    still_open = select(Upload.id).where(Upload.slide_id == upload.slide_id, Upload.completed_at.is_(None))
    if session.scalar(still_open.limit(1)) is None:
        states.complete(session, session.get_one(Slide, upload.slide_id))
    return job_id


def retry(session: Session, upload: Upload) -> None:
    """Start unpacking again after it was given up. Raises Conflict if it was not."""
    job = dead_job(session, upload.id)
    if job is None:
        raise Conflict(_("Unpacking has not been given up."))
    leases.retry(session, job)


def tell(session: Session, upload: Upload, project_id: int) -> None:
    """Tell everybody who has the project open how far an upload is."""
    payload = {
        "upload_id": upload.id,
        "slide_id": upload.slide_id,
        "images": upload.images,
        "stored": upload.stored,
        "duplicates": upload.duplicates,
        "refused": upload.refused,
        "done": upload.finished_at is not None,
    }
    publish(session, project_id, "upload", payload)
