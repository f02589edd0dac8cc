"""The demo project: generated cells of two scanners, so that everything can be tried without a patient's image."""

import io
import zipfile

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.db import now
from app.encoders.service import default_encoder
from app.language import N_
from app.models import Project, Scanner, Slide, Upload, UploadPart
from app.projects import classes, presets
from app.slides import states
from app.storage import Stored, get_storage
from workers.ml.rendering import CLASSES, SCANNERS, demo_cells
from workers.runner import Task

NAME = "Demo (generated cells)"
SLIDES_PER_SCANNER = 3
CELLS_PER_SLIDE = 200


def seed(task: Task) -> None:
    """Make the demo project and upload its generated slides, one ZIP each, as a person would."""
    with task.transaction() as session:
        project = _project(session)
        scanners = {profile: _scanner(session, project, profile) for profile in SCANNERS}
        there = set(session.scalars(select(Slide.accession).where(Slide.project_id == project.id)))
    plan = [(profile, f"Generated {profile}{n + 1}") for n in range(SLIDES_PER_SCANNER) for profile in SCANNERS]
    for number, (profile, accession) in enumerate(plan):
        if accession in there:
            continue
        stored = get_storage().put("uploads", _archive(profile, seed=number))
        with task.transaction() as session:
            _upload(session, project, scanners[profile], accession, stored)
        task.progress(number + 1, len(plan), N_("Generating cells"))


def _project(session: Session) -> Project:
    """Return the demo project; it is there already when an earlier attempt got that far."""
    if project := session.scalar(select(Project).where(Project.name == NAME)):
        return project
    encoder = default_encoder(session)
    project = Project(name=NAME, synthetic=True, encoder_id=encoder.id, created_at=now())
    session.add(project)
    session.flush()
    classes.add_all(session, project, presets.classes_with(list(CLASSES)))
    return project


def _scanner(session: Session, project: Project, profile: str) -> Scanner:
    name = f"Generated scanner {profile}"
    mine = (Scanner.project_id == project.id) & (Scanner.name == name)
    if scanner := session.scalar(select(Scanner).where(mine)):
        return scanner
    scanner = Scanner(project_id=project.id, name=name, created_at=now())
    session.add(scanner)
    session.flush()
    return scanner


def _archive(profile: str, seed: int) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, _code, jpeg in demo_cells(CELLS_PER_SLIDE, profile, seed):
            archive.writestr(name, jpeg)
    buffer.seek(0)
    return buffer


def _upload(session: Session, project: Project, scanner: Scanner, accession: str, stored: Stored) -> None:
    slide = Slide(project_id=project.id, scanner_id=scanner.id, accession=accession, created_at=now())
    states.begin(session, slide)
    upload = Upload(
        slide_id=slide.id, expected_files=1, received_files=1, received_bytes=stored.size,
        created_at=now(), completed_at=now(),
    )  # fmt: skip
    session.add(upload)
    session.flush()
    session.add(UploadPart(upload_id=upload.id, name=f"{accession}.zip", sha256=stored.sha256, size=stored.size))
    jobs.unpack_upload(session, project.id, upload.id)
    session.flush()
    states.complete(session, slide)
