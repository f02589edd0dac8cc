"""Unpacking under faults: killed workers, files that kill workers, two jobs at once, a full disk."""

import errno
import io
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.db import reading, transaction
from app.models import Job, Slide
from app.models.project import Project
from app.storage import LocalStorage, get_storage
from tests.factories import make_project, make_slide, make_user
from tests.slides.uploading import (
    begin,
    cell_names,
    complete,
    counts,
    image_count,
    picture,
    pictures,
    refused,
    send,
    state,
    upload,
    zipped,
)
from workers import examining, runner, slide_rows, slides
from workers.outcomes import Outcome

Work = Callable[[], int]


class WorkerKilled(BaseException):
    """Stands for kill -9: nothing in the handler or the runner catches it."""


@pytest.fixture
def slide(installation: object) -> Slide:
    return make_slide(make_project())


@pytest.fixture
def browser(client: TestClient, sign_in, slide: Slide) -> TestClient:
    return sign_in(make_user(role="manager"))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "BATCH", 10)
    monkeypatch.setattr(slides, "AHEAD", 10)


def start_again() -> None:
    """What the sweeper or the next start does for a worker that is gone."""
    with transaction() as session:
        session.execute(update(Job).where(Job.state == "running").values(state="queued", not_before=None))


def killed_at(monkeypatch: pytest.MonkeyPatch, place: object, name: str, call: int, *, after: bool = False) -> None:
    """Kill the worker at the n-th call of a function, before or after it did its work; later calls are normal."""
    original = getattr(place, name)
    calls = iter(range(1, 1_000_000))

    def dying(*args: object, **kwargs: object) -> object:
        number = next(calls)
        if number == call and not after:
            raise WorkerKilled
        result = original(*args, **kwargs)
        if number == call:
            raise WorkerKilled
        return result

    monkeypatch.setattr(place, name, dying)


@pytest.mark.parametrize("shape", ["zip", "files", "mixed"])
@pytest.mark.parametrize(
    ("place", "name", "call", "after"),
    [
        (slide_rows, "store", 2, False),
        (slide_rows, "store", 2, True),
        (LocalStorage, "put_many", 3, True),  # originals are there, rows are not; the first call receives the upload
        (slide_rows, "_count", 2, True),  # in the middle of the transaction
        (slide_rows, "finish", 1, False),
        (slide_rows, "delete_received", 1, True),
    ],
)
def test_a_killed_worker_loses_nothing_and_counts_nothing_twice(
    browser: TestClient,
    slide: Slide,
    work: Work,
    monkeypatch,
    shape: str,
    place: object,
    name: str,
    call: int,
    after: bool,
) -> None:
    images = pictures(25)
    files = {
        "zip": [("all.zip", zipped([*images, ("notes.txt", b"x")]))],
        "files": [*images, ("notes.txt", b"x")],
        "mixed": [*images[:5], ("rest.zip", zipped([*images[5:], ("notes.txt", b"x")]))],
    }[shape]
    with monkeypatch.context() as patch:
        killed_at(patch, place, name, call, after=after)
        upload_id = upload(browser, slide, files)
        with pytest.raises(WorkerKilled):
            work()
    assert state(upload_id).finished_at is None
    start_again()
    work()
    assert counts(upload_id) == (25, 0, 1)
    assert cell_names(slide) == [name for name, _ in images]
    assert refused(upload_id) == {"notes.txt": "not an image (JPEG, PNG, BMP, TIFF or WebP)"}
    assert image_count() == 25
    assert state(upload_id).finished_at is not None
    with reading() as session:
        jobs = session.scalars(select(Job).where(Job.kind == "cells.embed")).all()
    assert sum(job.progress_total for job in jobs) == 25, "each image is queued for embedding once"


def test_a_file_that_kills_the_worker_is_refused_and_its_neighbours_are_stored(
    browser: TestClient, slide: Slide, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = picture(666)
    check = examining.check

    def deadly(data: bytes) -> object:
        if data == poison:
            raise WorkerKilled
        return check(data)

    monkeypatch.setattr(examining, "check", deadly)
    images = pictures(25)
    members = [*images[:14], ("poison.png", poison), *images[14:]]
    upload_id = upload(browser, slide, [("all.zip", zipped(members))])
    for _ in range(3):  # with others, alone, and alone once more, because a worker can be ended by other causes
        with pytest.raises(WorkerKilled):
            work()
        start_again()
    work()
    assert counts(upload_id) == (25, 0, 1)
    assert refused(upload_id) == {"poison.png": "the worker stopped each time it read this file"}
    assert cell_names(slide) == [name for name, _ in images]


def test_two_jobs_of_one_upload_share_the_work(
    browser: TestClient, slide: Slide, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several Celery workers, files that arrive while a job runs start a second one."""
    upload_id = begin(browser, slide, 30)
    send(browser, upload_id, [("first.zip", zipped(pictures(20)))])
    store = slide_rows.store
    entered = []

    def store_while_another_works(task: runner.Task, upload_id: int, batch: list[Outcome]) -> None:
        if not entered:
            entered.append(True)
            send(browser, upload_id, pictures(10, start=20))
            complete(browser, upload_id)
            assert runner.run_next("slides", "another worker")
        store(task, upload_id, batch)

    monkeypatch.setattr(slide_rows, "store", store_while_another_works)
    work()
    assert entered
    assert counts(upload_id) == (30, 0, 0)
    assert len(cell_names(slide)) == 30
    assert state(upload_id).finished_at is not None


def test_a_worker_that_lost_its_job_writes_nothing(
    browser: TestClient, slide: Slide, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = upload(browser, slide, [("all.zip", zipped(pictures(20)))])
    store = slide_rows.store
    calls = []

    def stolen_before_the_second(task: runner.Task, upload_id: int, batch: list[Outcome]) -> None:
        calls.append(len(batch))
        if len(calls) == 2:
            with transaction() as session:
                session.execute(update(Job).where(Job.id == task.job_id).values(fence=Job.fence + 1))
        store(task, upload_id, batch)

    with monkeypatch.context() as patch:
        patch.setattr(slide_rows, "store", stolen_before_the_second)
        work()
    assert counts(upload_id) == (10, 0, 0)
    start_again()
    work()
    assert counts(upload_id) == (20, 0, 0)


class FullDisk:
    """A file that fails as a write to a full disk does, once it has given its bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        data = self._data.read(size)
        if not data:
            raise OSError(errno.ENOSPC, "No space left on device")
        return data


class FullStorage(LocalStorage):
    """Storage on a disk that is full."""

    def put_many(self, folder: str, sources: list[io.BytesIO]) -> list:
        return super().put_many(folder, [FullDisk(source.read()) for source in sources])


@pytest.fixture
def full_disk(installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Call it with True to fill the disk, with False to make room."""

    def fill(full: bool) -> None:
        get_storage()
        monkeypatch.setattr("app.storage._local", FullStorage if full else LocalStorage)

    return fill


def test_a_full_disk_refuses_an_upload_and_leaves_nothing(
    browser: TestClient, slide: Slide, work: Work, full_disk, installation
) -> None:
    upload_id = begin(browser, slide, 3)
    full_disk(True)
    answer = send(browser, upload_id, pictures(3))
    assert answer.status_code == 507
    assert "disk of the server is full" in answer.json()["detail"]
    assert state(upload_id).received_files == 0
    assert not [path for path in (installation / "files").rglob("*") if path.is_file()]
    full_disk(False)
    assert send(browser, upload_id, pictures(3)).json() == {"new": 3, "known": 0}
    complete(browser, upload_id)
    work()
    assert counts(upload_id) == (3, 0, 0)


def test_a_disk_that_fills_while_unpacking_is_said_and_can_be_tried_again(
    browser: TestClient, slide: Slide, work: Work, full_disk
) -> None:
    upload_id = upload(browser, slide, pictures(3))
    full_disk(True)
    for _ in range(5):
        with transaction() as session:
            session.execute(update(Job).values(not_before=None))
        work()
    page = f"/projects/{slide.project_id}/slides/{slide.id}"
    assert "Unpacking was given up: StorageFull: The disk of the server is full" in browser.get(page).text
    assert counts(upload_id) == (0, 0, 0)
    full_disk(False)
    again = browser.post(f"/uploads/{upload_id}/retry", follow_redirects=False)
    assert (again.status_code, again.headers["location"]) == (303, page)
    work()
    assert counts(upload_id) == (3, 0, 0)
    assert browser.post(f"/uploads/{upload_id}/retry").status_code == 409


def test_refusals_are_listed_up_to_a_limit_and_all_are_counted(
    browser: TestClient, slide: Slide, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide_rows, "LISTED_REFUSALS", 25)
    upload_id = upload(browser, slide, [("all.zip", zipped([(f"{n}.txt", b"text") for n in range(34)]))])
    work()
    assert counts(upload_id) == (0, 0, 34)
    assert list(refused(upload_id)) == [f"{n}.txt" for n in range(25)]
    page = browser.get(f"/uploads/{upload_id}/refused").text
    assert "9 more were refused; only the first 25 are listed." in page
    assert page.count('class="file-name"') == 25


def test_a_project_that_moves_to_another_encoder_embeds_new_images_with_both(
    browser: TestClient, slide: Slide, work: Work
) -> None:
    with transaction() as session:
        project = session.get_one(Project, slide.project_id)
        project.next_encoder_id = project.encoder_id
        encoder_id = project.encoder_id
    upload(browser, slide, pictures(4))
    assert runner.run_next("slides", "test")
    with reading() as session:
        jobs = session.scalars(select(Job).where(Job.kind == "cells.embed")).all()
    assert [job.arguments["encoder_id"] for job in jobs] == [encoder_id, encoder_id]
