"""One of everything that addresses name, for tests that visit every route."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.db import now, transaction
from app.models import (
    ActivationPreview,
    Adaptation,
    Alarm,
    ApiToken,
    Batch,
    Cell,
    CellClass,
    CellMap,
    Classifier,
    ClassMapping,
    Delivery,
    Field,
    Invitation,
    Pack,
    Pretraining,
    Project,
    Scanner,
    Upload,
    User,
    WatchReference,
    Webhook,
)
from app.reports.queries import first_version
from tests import factories

UNKNOWN = 2**31 - 1  # no row has this id


@dataclass(frozen=True)
class Everything:
    """A project with one of everything, and what fills addresses by the names they use."""

    project: Project
    ids: dict[str, int | str]


def make_everything() -> Everything:
    """Make a project of its own with one of everything."""
    project = factories.make_project()
    scanner = factories.make_scanner(project)
    slide = factories.make_slide(project, scanner=scanner)
    [cell] = factories.make_cells(slide, ["NGS"])
    person = factories.make_user(member_of=project)
    common = {"project_id": project.id, "created_at": now()}
    with transaction() as session:
        rows = {
            "classifier_id": Classifier(
                **common, encoder_id=project.encoder_id, version=1, state="retired", head="ours", classes=[], labels=0,
                labels_sha256="", newest_annotation_id=0, cells_scored=0, predicted={}, artifact="", scores=None,
                fit_seconds=0,
            ),
            "report_id": first_version(slide),
            "run_id": Pretraining(
                **common, start_encoder_id=project.encoder_id, epochs=1, most_images=256, state="paused"
            ),
            "adaptation": Adaptation(**common, scanner_id=scanner.id, seed=0, validation=[cell]),
            "upload_id": Upload(
                slide_id=slide.id, expected_files=1, expected_bytes=3, resumable_name="a.png", created_at=now(),
                heard_at=now(),
            ),
            "map_id": CellMap(
                **common, encoder_id=project.encoder_id, artifact="", cells=0, fitted=0, seconds=0
            ),
            "batch_id": Batch(**common, user_id=person.id, kind="next", cell_ids=[], note="", reasons={}),
            "webhook_id": Webhook(**common, url="https://lis.example/", events=["slide.state_changed"], salt=""),
            "mapping_id": ClassMapping(**common, name="Other", version=1, rows=[]),
            "pack_id": Pack(**common, kind="export", classifier_id=None, with_images=False, created_by=person.id),
            "invitation_id": Invitation(
                token_sha256=f"invitation {project.id}", role="reviewer", created_at=now(),
                expires_at=now() + timedelta(days=1),
            ),
        }  # fmt: skip
        session.add_all(rows.values())
        session.flush()
        found: dict[str, int | str] = {name: row.id for name, row in rows.items()}
        delivery = Delivery(
            webhook_id=rows["webhook_id"].id, key="msg_1", event="test", body="{}", state="failed", next_at=now(),
            give_up_at=now(), created_at=now(),
        )  # fmt: skip
        session.add(delivery)
        session.flush()
        found["delivery_id"] = delivery.id
        found["alarm_id"] = _alarm_of(session, scanner, rows["classifier_id"].id)
        found["job_id"] = jobs.fit_classifier(session, project.id)
        of_lyt = (CellClass.project_id == project.id) & (CellClass.code == "LYT")
        found["class_id"] = session.scalars(select(CellClass.id).where(of_lyt)).one()
    found["field_id"] = _field_of(cell)
    found |= {"level": 0, "column": 0, "row": 0}
    found |= {"project_id": project.id, "scanner_id": scanner.id, "slide_id": slide.id, "cell_id": cell}
    found |= {
        "user_id": person.id,
        "version": 1,
        "how": "undo",
        "kind": "json",
        "step": "cells",
        "undone": str(uuid4()),
        "tag": "de",
        "token": "unknown",
    }
    found["token_id"] = _token_of(person)
    return Everything(project, found)


def _alarm_of(session: Session, scanner: Scanner, classifier_id: int) -> int:
    common = {"project_id": scanner.project_id, "scanner_id": scanner.id, "created_at": now()}
    reference = WatchReference(**common, classifier_id=classifier_id, since=now())
    session.add_all([reference, ActivationPreview(**common, classifier_id=classifier_id)])
    session.flush()
    alarm = Alarm(**common, reference_id=reference.id, day=now().date(), chart="shift", rule="slow")
    session.add(alarm)
    session.flush()
    return alarm.id


def _field_of(cell_id: int) -> int:
    """Make the image of a cell the field it was cut from, as if a field showed nothing else."""
    with transaction() as session:
        cell = session.get_one(Cell, cell_id)
        field = Field(
            project_id=cell.project_id, slide_id=cell.slide_id, image_id=cell.image_id, name="field.png",
            red_cell_px=20, created_at=now(),
        )  # fmt: skip
        session.add(field)
        session.flush()
        cell.field_id, cell.box = field.id, [0, 0, 20, 20]
        return field.id


def _token_of(person: User) -> int:
    factories.make_token(person)
    with transaction() as session:
        return session.scalars(select(ApiToken.id).where(ApiToken.user_id == person.id)).one()
