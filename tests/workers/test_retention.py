"""Originals are deleted when their time is over, whatever else shows the same bytes stays, and it can be read why."""

import base64
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.db import now, reading, transaction
from app.job import Job
from app.main import app
from app.models import AuditEvent, Cell, Embedding, Original, Project, Slide, Upload, User
from app.storage import get_storage
from tests import factories
from tests.slides.test_fields import field_of
from tests.slides.uploading import begin, picture, refused, send, upload
from workers import housekeeping, slide_files

Work = Callable[[], int]
DAYS = 30


@pytest.fixture
def manager(client: TestClient, sign_in: Callable[[User], TestClient]) -> TestClient:
    return sign_in(factories.make_user("manager"))


def keeping(**settings: object) -> Project:
    """A project that deletes originals after DAYS."""
    project = factories.make_project()
    with transaction() as session:
        session.execute(update(Project).where(Project.id == project.id).values(retention_days=DAYS, **settings))
    return project


def grow_old(slide: Slide, days: int = DAYS + 1) -> None:
    """Let a slide and all that was sent to it be this many days old."""
    then = now() - timedelta(days=days)
    with transaction() as session:
        session.execute(update(Slide).where(Slide.id == slide.id).values(created_at=then))
        session.execute(update(Upload).where(Upload.slide_id == slide.id).values(created_at=then))
        session.execute(update(Cell).where(Cell.slide_id == slide.id).values(created_at=then))


def retain(work: Work) -> list[dict[str, object]]:
    """Run the daily job of all projects; returns what the audit trail says of it."""
    with transaction() as session:
        session.execute(update(Job).values(created_at=now() - timedelta(days=2)))
        session.execute(update(AuditEvent).where(AuditEvent.what == "slide.originals_deleted").values(what="earlier"))
    housekeeping.retain()
    work()
    with reading() as session:
        return list(session.scalars(select(AuditEvent.detail).where(AuditEvent.what == "slide.originals_deleted")))


def stored(installation: Path, folder: str) -> int:
    return sum(path.is_file() for path in (installation / "files" / folder).rglob("*"))


def test_fields_and_received_files_go_and_pictures_of_cells_stay(
    manager: TestClient, work: Work, installation: Path
) -> None:
    project = keeping(keep_received=True)
    slide = factories.make_slide(project)
    upload(manager, slide, [("one.jpg", picture(1, "JPEG", comment="Meier"))])
    upload(manager, slide, [("field.png", field_of(["NGS", "LYT"], 1))], "field")
    work()
    page = f"/projects/{project.id}/slides/{slide.id}"
    assert "Originals will be deleted after" in manager.get(page).text
    assert retain(work) == []  # its time is not over
    grow_old(slide)
    [audit] = retain(work)
    assert audit == {"slide_id": slide.id, "fields": 1, "received": 1, "pictures": 0, "unopened": 0, "shared": 0}
    assert stored(installation, "originals") == 0
    with reading() as session:
        cells = session.scalars(select(Cell).order_by(Cell.id)).all()
        assert session.scalars(select(Original)).all() == []
        assert len(session.scalars(select(Embedding)).all()) == len(cells)
    for cell in cells:
        statuses = [manager.get(f"/cells/{cell.id}/{kind}").status_code for kind in ("thumbnail", "image", "original")]
        assert statuses == [200, 200, 410]
    around = manager.get(f"/cells/{cells[-1].id}/field", headers={"Accept": "application/json"})
    assert (around.status_code, "were deleted on" in around.json()["detail"]) == (410, True)
    assert "Pictures of the cells, labels, embeddings, classifiers and reports stay." in manager.get(page).text
    assert retain(work) == []


def test_pictures_of_cells_go_too_where_the_project_says_so(
    manager: TestClient, work: Work, installation: Path
) -> None:
    project = keeping(retention_cells=False)
    slide = factories.make_slide(project)
    upload(manager, slide, [("one.png", picture(1)), ("two.png", picture(2))])
    work()
    grow_old(slide)
    [audit] = retain(work)
    assert (audit["pictures"], stored(installation, "images"), stored(installation, "thumbnails")) == (2, 0, 0)
    for path in ("/cells/1/thumbnail", "/cells/1/image", "/cells/1/original"):
        assert manager.get(path).status_code == 410
    assert manager.get(f"/projects/{project.id}/cells").status_code == 200

    # The same file once more is the same cell again, with its picture.
    upload(manager, slide, [("one.png", picture(1))])
    work()
    assert manager.get("/cells/1/image").status_code == 200
    grow_old(slide)
    with transaction() as session:
        session.get_one(Slide, slide.id).pictures_deleted_at = now() - timedelta(days=DAYS + 2)
    assert [each["pictures"] for each in retain(work)] == [1]


def test_bytes_that_others_need_stay(manager: TestClient, work: Work, installation: Path) -> None:
    project, other = keeping(keep_received=True, retention_cells=False), factories.make_project()
    with transaction() as session:
        session.get_one(Project, other.id).keep_received = True
    old, young = factories.make_slide(project), factories.make_slide(project)
    foreign = factories.make_slide(other)
    mine, shared, theirs = [(f"{n}.jpg", picture(n, "JPEG", comment="Meier")) for n in range(3)]
    field = ("field.png", field_of(["NGS", "LYT"], 1))
    upload(manager, old, [mine, shared, theirs])
    upload(manager, old, [field], "field")
    upload(manager, young, [shared])
    upload(manager, foreign, [theirs])
    upload(manager, foreign, [field], "field")
    work()
    grow_old(old)
    [audit] = retain(work)
    assert (audit["pictures"], audit["received"], audit["fields"]) == (1, 1, 0)
    assert stored(installation, "originals") == 2
    with reading() as session:
        cells = session.scalars(select(Cell)).all()
    for cell in cells:
        whole = manager.get(f"/cells/{cell.id}/original").status_code
        assert whole == (410 if cell.slide_id == old.id else 200)
    assert manager.get(f"/cells/{[each.id for each in cells if each.field_id][-1]}/field").status_code == 200

    grow_old(young)
    assert [(each["pictures"], each["received"]) for each in retain(work)] == [(1, 1)]
    assert stored(installation, "originals") == 1


def in_pieces(slide: Slide) -> None:
    """Begin to send a file in pieces, and stop."""
    rest = TestClient(app, headers={"Authorization": f"Bearer {factories.make_token(factories.make_user('manager'))}"})
    name = base64.b64encode(b"Meier.zip").decode()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": f"filename {name}"}
    where = rest.post(f"/api/v1/slides/{slide.id}/uploads", headers=tus).headers["location"]
    piece = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert rest.patch(where, content=b"Meier", headers=tus | piece).status_code == 204


def test_files_that_were_never_opened_go_too(manager: TestClient, work: Work, installation: Path) -> None:
    slide = factories.make_slide(keeping())
    stopped = begin(manager, slide, 2)
    send(manager, stopped, [("one.png", picture(1))])
    in_pieces(slide)
    with transaction() as session:  # the worker never came
        session.execute(update(Job).values(state="dead"))
    grow_old(slide)
    [audit] = retain(work)
    assert (audit["unopened"], stored(installation, "uploads")) == (2, 0)
    assert list(refused(stopped)) == ["one.png"]
    assert list((installation / "resumable").iterdir()) == []
    assert send(manager, stopped, [("two.png", picture(2))]).status_code == 409


def test_bytes_deleted_while_an_upload_finds_them_stored_are_put_back(
    manager: TestClient, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention deletes the same bytes between the moment an upload stores them and the moment it adds its rows."""
    slide = factories.make_slide(factories.make_project())
    put, lost = slide_files.put, list[str]()

    def put_then_lose(files: Iterable[slide_files.KeptFile]) -> None:
        kept = list(files)
        put(kept)
        for file in kept if not lost else ():
            lost.append(f"{file.folder}/{file.sha256}")
            get_storage().delete(lost[-1])

    monkeypatch.setattr(slide_files, "put", put_then_lose)
    upload(manager, slide, [("one.png", picture(1))])
    work()
    assert len(lost) == 1
    assert manager.get("/cells/1/image").status_code == 200


def test_once_a_day_is_enough(installation: Path) -> None:
    keeping()
    for _ in range(2):
        housekeeping.retain()
    with reading() as session:
        assert [job.requests for job in session.scalars(select(Job))] == [1]
