"""The same promises on a real PostgreSQL and on SQLite: the schema, the loop in process, many people at once."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, func, select, text

from app import db, job_queries, jobs, leases
from app.accounts.service import start_session
from app.annotations.undo import NOTES
from app.cells.index import columns_of
from app.config import get_settings
from app.db import reading, transaction
from app.job import Job
from app.main import app
from app.models import Annotation, Cell, CellClass, Classifier, Embedding, Event, Project, User
from app.security import csrf_token
from tests import factories
from tests.conftest import ROOT
from tests.rest.conftest import zip_of
from tests.services import postgresql
from tests.workers.test_retention import grow_old, keeping, retain
from workers import cells as cells_worker
from workers import classifiers as classifiers_worker
from workers import runner
from workers.runner import Task

Work = Callable[[], int]
numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server with a migrated database; yields its URL."""
    with postgresql() as url:
        migrate(url, "upgrade")
        yield url


def migrate(url: str, what: str) -> None:
    engine = db.make_engine(url)
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head") if what == "upgrade" else command.check(config)
        connection.commit()
    engine.dispose()


@pytest.fixture
def on_postgresql(installation: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh installation on a database of its own."""
    name = f"test{next(numbers)}"
    admin = create_engine(server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        # Not from itself: a template must have no connections.
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    url = server.rpartition("/")[0] + f"/{name}"
    migrate(url, "upgrade")
    monkeypatch.setenv("FIFTYCELLS_DATABASE_URL", url)
    get_settings.cache_clear()
    engine = db.connect(url)
    yield installation
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The test runs on both."""
    request.getfixturevalue("installation" if request.param == "sqlite" else "on_postgresql")
    return str(request.param)


def test_the_migrations_make_what_the_models_say(server: str) -> None:
    migrate(server, "check")


def browser_of(user: User) -> TestClient:
    """A signed-in browser. Not entered: the lifespan of the application would connect each of them anew."""
    with transaction() as session:
        session_id = start_session(session, user)
    headers = {"Origin": "http://testserver", "X-CSRF-Token": csrf_token(session_id)}
    return TestClient(app, base_url="http://testserver", headers=headers, cookies={"fiftycells": session_id})


def label(
    browser: TestClient, project: Project, labels: dict[int, str | None], source: str = "label", **condition: str
) -> dict[str, Any]:
    items = [{"cell_id": cell_id, "class": code, **condition} for cell_id, code in labels.items()]
    body = {"action": str(uuid4()), "source": source, "items": items}
    answer = browser.post(f"/projects/{project.id}/annotations", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def carried(project: Project) -> dict[int, str | None]:
    """What each cell carries, and that this is what its newest annotation says."""
    newest = select(func.max(Annotation.id)).group_by(Annotation.cell_id)
    with reading() as session:
        told = {row.cell_id: row for row in session.scalars(select(Annotation).where(Annotation.id.in_(newest)))}
        codes: dict[int | None, str] = {row.id: row.code for row in session.scalars(select(CellClass))}
        cells = session.scalars(select(Cell).where(Cell.project_id == project.id)).all()
    for cell in cells:
        row = told.get(cell.id)
        assert cell.class_id == (row.class_id if row else None)
        if row is None or row.source not in NOTES:  # after a note an older annotation is in force again
            assert cell.annotation_id == (row.id if row else None)
    return {cell.id: codes.get(cell.class_id) for cell in cells}


def test_upload_label_undo_and_predictions(database: str, work: Work) -> None:
    project = factories.make_project(["NGS", "LYT"])
    slide = factories.make_slide(project)
    browser = browser_of(factories.make_user(member_of=project, name="Ada"))
    files = {"files": ("cells.zip", io.BytesIO(zip_of(["NGS", "LYT"] * 20)), "application/zip")}
    assert browser.post(f"/slides/{slide.id}/images", files=files, follow_redirects=False).status_code == 303
    work()
    with reading() as session:
        looks = {cell.id: cell.name[:3] for cell in session.scalars(select(Cell).order_by(Cell.id))}
        assert session.scalar(select(func.count(Embedding.vector))) == len(looks) == 40
    first = dict(list(looks.items())[:8])
    assert label(browser, project, first)["saved"] == 8
    undone = label(browser, project, dict.fromkeys(list(first)[:2]), if_class="NGS")
    assert (undone["saved"], [item["class"] for item in undone["skipped"]]) == (1, ["LYT"])
    work()
    assert list(carried(project).values()).count(None) == 33
    ids = ",".join(map(str, looks))
    found = browser.get(f"/projects/{project.id}/cells/state", params={"ids": ids}).json()
    assert found["version"] == 1
    assert sum(cell["predicted"] == looks[cell["cell_id"]] for cell in found["cells"]) >= 38
    for path in ("cells", "predictions", "classifiers", "slides", f"slides/{slide.id}", "classes", "audit", "settings"):
        assert browser.get(f"/projects/{project.id}/{path}").status_code == 200, path
    for path, rows in (("annotations", 7), ("predictions", 40), ("classifiers/1/labels", 7)):
        assert len(browser.get(f"/projects/{project.id}/{path}.csv").text.splitlines()) == 1 + rows
    for path in ("/", "/jobs", "/account"):
        assert browser.get(path).status_code == 200


CODES = ["NGS", "LYT", "MON"]


def fit_until(over: threading.Event) -> None:
    """What one worker process does."""
    while not over.is_set():
        if not runner.run_next("fit", f"worker {threading.get_ident()}"):
            over.wait(0.005)


def label_all(user: User, project: Project, cells: list[int], shift: int) -> None:
    """Label everything in an order and with an opinion of one's own, looking at the grid in between."""
    browser = browser_of(user)
    mine = cells[shift:] + cells[:shift]
    for start in range(0, len(mine), 10):
        label(browser, project, {cell: CODES[(cell + shift) % 3] for cell in mine[start : start + 10]})
        assert browser.get(f"/projects/{project.id}/cells", params={"order": "uncertain"}).status_code == 200


def test_eight_people_label_while_fits_run_and_nothing_is_lost(database: str, work: Work) -> None:
    project = factories.make_project(CODES)
    cells = factories.make_cells(factories.make_slide(project), CODES * 20)
    people = [factories.make_user(member_of=project) for _ in range(8)]
    work()
    over = threading.Event()
    with ThreadPoolExecutor(10) as pool:
        fits = [pool.submit(fit_until, over) for _ in range(2)]
        labels = [pool.submit(label_all, user, project, cells, shift) for shift, user in enumerate(people)]
        try:
            for each in labels:
                each.result()
        finally:
            over.set()
        for each in fits:
            each.result()
    work()
    check_everything_was_kept(project)


def check_everything_was_kept(project: Project) -> None:
    assert None not in carried(project).values()
    with reading() as session:
        rows = session.execute(select(Annotation.cell_id, Annotation.user_id)).all()
        assert len(rows) == len(set(rows)) == 8 * 60
        told = session.scalars(select(Event).where(Event.kind == "labels")).all()
        assert sum(len(event.payload["items"]) for event in told) == 8 * 60
        assert {job.state for job in session.scalars(select(Job))} == {"done"}
        assert (columns_of(session, project.id).class_ids > 0).all()
        versions = session.scalars(select(Classifier).order_by(Classifier.version)).all()
        assert versions[-1].newest_annotation_id == session.scalar(select(func.max(Annotation.id)))
    assert versions[-1].labels == 60
    assert [each.version for each in versions] == list(range(1, len(versions) + 1))
    known = [each.newest_annotation_id for each in versions]
    assert known == sorted(known), "an older fit has replaced a newer one"


def hold(job_id: int) -> Task:
    """Claim a job as a worker would."""
    with transaction() as session:
        claimed = leases.claim(session, Job.id == job_id, "test")
        assert claimed is not None
        return Task(claimed.id, claimed.kind, claimed.fence, claimed.project_id or 0, claimed.arguments)


def test_a_job_whose_id_arrives_while_it_is_asked_for_again_is_not_forgotten(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    monkeypatch.setattr(runner, "_handler", lambda _kind: lambda task: done.append(task.job_id))
    with transaction() as session:
        job_id = jobs.fit_classifier(session, 1)
    with ThreadPoolExecutor(1) as pool:
        with transaction() as session:
            assert jobs.fit_classifier(session, 1) == job_id
            ran = pool.submit(runner.run_job, job_id, "worker")
            time.sleep(0.2)
        assert ran.result()
    assert done == [job_id]


def test_batches_that_end_together_are_scored(database: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "EMBED_BATCH", 2)
    monkeypatch.setattr(cells_worker, "REFIT_EVERY", 10**6)
    project = factories.make_project()
    factories.make_cells(factories.make_slide(project), ["NGS"] * 4)
    with reading() as session:
        batches = [hold(job.id) for job in session.scalars(select(Job).order_by(Job.id))]
    cells_worker.embed(batches[0])
    with reading() as session:
        assert not job_queries.is_queued(session, f"fit:{project.id}")
    cells_worker.embed(batches[1])  # while the first has not said yet that it is done
    with reading() as session:
        assert job_queries.is_queued(session, f"fit:{project.id}")
    for batch in batches:
        batch.finish()


def test_a_fit_that_is_overtaken_does_not_bring_old_labels_back(
    database: str, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = factories.make_project(CODES)
    cells = factories.make_cells(factories.make_slide(project), CODES * 4)
    browser = browser_of(factories.make_user(member_of=project))
    label(browser, project, {cells[i]: CODES[i % 3] for i in range(6)})
    scored = classifiers_worker.score_table

    def slow(*arguments: Any) -> Any:
        monkeypatch.setattr(classifiers_worker, "score_table", scored)
        label(browser, project, {cells[i]: CODES[i % 3] for i in range(6, 12)})
        assert runner.run_next("fit", "faster")
        return scored(*arguments)

    while runner.run_next("embed", "test"):
        pass
    monkeypatch.setattr(classifiers_worker, "score_table", slow)
    assert runner.run_next("fit", "slower")
    with reading() as session:
        versions = session.scalars(select(Classifier)).all()
        newest = session.scalar(select(func.max(Annotation.id)))
        assert {job.state for job in session.scalars(select(Job))} == {"done"}
    assert [(each.version, each.labels, each.newest_annotation_id) for each in versions] == [(1, 12, newest)]


def test_originals_whose_time_is_over_are_deleted(database: str, work: Work) -> None:
    project = keeping(retention_cells=False)
    old, young = factories.make_slide(project), factories.make_slide(project)
    browser = browser_of(factories.make_user(member_of=project))
    for slide, count_of in ((old, 4), (young, 2)):
        files = {"files": ("cells.zip", zip_of(["NGS"] * count_of))}
        browser.post(f"/slides/{slide.id}/images", files=files)
    work()
    grow_old(old)
    assert [(each["pictures"], each["shared"]) for each in retain(work)] == [(2, 2)]
    with reading() as session:
        cells = session.scalars(select(Cell.id).order_by(Cell.id)).all()
    assert [browser.get(f"/cells/{cell}/image").status_code for cell in cells] == [200, 200, 410, 410, 200, 200]


HUGE = "9" * 30
UNUSABLE = [
    *(f"/projects/1/{path}" for path in (
        f"cells?scanner={HUGE}", f"cells?slide={HUGE}", f"cells/state?ids={HUGE}", f"slides?before={HUGE}",
        f"classifiers?below={HUGE}", f"classifiers/{HUGE}/labels.csv", f"audit?before={HUGE}", "cells?class=%00",
        f"cells?cursor={'W1sx' * 100}", "cells?cursor=WzEsMSwxZTk5OV0",
    )),
    *(f"/api/v1/projects/1/{path}" for path in (
        "slides?accession=%00", f"slides?cursor={HUGE}", f"predictions?classifier={HUGE}", "predictions?class=%00",
    )),
    f"/cells/{HUGE}/thumbnail", f"/projects/{HUGE}", f"/api/v1/jobs/{HUGE}",
]  # fmt: skip
UNUSUAL = [
    "/api/v1/projects/1/slides?accession=nothing",
    "/projects/1/cells?scanner=999&slide=999",
    "/sign-in?next=%00",
]
BODIES = [{"\ud800": 1}, {"action": "\ud800" * 8}, {"items": [{"cell_id": 10**30}]}, 10**400, [[]]]


def test_numbers_and_texts_no_database_can_hold_are_refused(database: str) -> None:
    factories.make_project()
    manager = factories.make_user("manager")
    browser = browser_of(manager)
    token = {"Authorization": f"Bearer {factories.make_token(manager)}", "Last-Event-ID": HUGE}
    for path in UNUSABLE + UNUSUAL:
        answer = browser.get(path, headers=token if path.startswith("/api") else {})
        assert answer.status_code == (422 if path in UNUSABLE else 200), path
    for body in BODIES:
        answer = browser.post("/projects/1/annotations", content=json.dumps(body))
        assert answer.status_code == 422, body
