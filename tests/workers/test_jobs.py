"""Jobs: claimed once, taken back when their worker is silent, given up after too many attempts."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app import job_queries, jobs, leases
from app.db import now, reading, transaction
from app.job import Job
from app.models import AuditEvent
from tests import factories
from tests.live import until
from workers import runner
from workers.runner import LeaseLostError, Task


@pytest.fixture
def handled(installation: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Job ids in the order in which a recording handler of fits got them."""
    seen: list[int] = []
    monkeypatch.setattr(runner, "_handler", lambda _kind: lambda task: seen.append(task.job_id))
    return seen


def queue_fit(project_id: int = 1) -> int:
    with transaction() as session:
        return jobs.fit_classifier(session, project_id)


def job(job_id: int) -> Job:
    with reading() as session:
        return session.get_one(Job, job_id)


def hold(job_id: int, owner: str = "other") -> Task:
    """Claim a job as another worker would and keep it."""
    with transaction() as session:
        claimed = leases.claim(session, Job.id == job_id, owner)
        assert claimed is not None
        return Task(claimed.id, claimed.kind, claimed.fence, claimed.project_id or 0, claimed.arguments)


def expire(job_id: int) -> None:
    """Let the worker have been silent for longer than the lease."""
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_until=now() - timedelta(seconds=1)))


def sweep() -> None:
    with transaction() as session:
        leases.sweep(session)


def test_requests_are_one_job_while_it_waits_and_another_once_it_runs(handled: list[int]) -> None:
    first = queue_fit()
    assert queue_fit() == first
    assert queue_fit(project_id=2) != first
    hold(first)
    second = queue_fit()
    assert second != first
    assert job(first).state == "running"
    assert runner.run_next("fit", "me")
    assert runner.run_next("fit", "me")
    assert not runner.run_next("fit", "me")
    assert second in handled
    assert first not in handled


def test_a_job_whose_worker_fell_silent_is_done_by_another_and_the_first_cannot_write(handled: list[int]) -> None:
    job_id = queue_fit()
    zombie = hold(job_id)
    sweep()
    assert not runner.run_next("fit", "me")  # the lease still holds
    expire(job_id)
    sweep()
    assert "worker stopped" in job(job_id).message
    assert runner.run_next("fit", "me")
    assert handled == [job_id]
    assert job(job_id).state == "done"
    for write in (zombie.finish, lambda: zombie.progress(1, 2), lambda: zombie.transaction().__enter__()):
        with pytest.raises(LeaseLostError):
            write()
    assert job(job_id).state == "done"


def test_a_job_taken_back_while_its_successor_waits_does_not_run_twice(
    handled: list[int], client: TestClient, sign_in: Callable[..., TestClient]
) -> None:
    old = queue_fit()
    hold(old).progress(2, 8)
    new = queue_fit()
    sign_in(factories.make_user(role="manager"))
    assert "2 of 8" in client.get("/jobs").text
    expire(old)
    sweep()
    assert job(old).state == "done"
    page = client.get("/jobs").text
    assert "Taken back after its worker stopped. Another job goes on with it." in page
    assert "2 of 8" not in page
    while runner.run_next("fit", "me"):
        pass
    assert handled == [new]


def test_a_job_that_kills_its_worker_is_given_up_and_can_be_started_again(
    handled: list[int], client: TestClient, sign_in: Callable[..., TestClient]
) -> None:
    job_id = queue_fit()
    for _ in range(leases.MAX_ATTEMPTS):
        hold(job_id)
        expire(job_id)
        sweep()
    assert job(job_id).state == "dead"
    assert not runner.run_next("fit", "me")

    sign_in(factories.make_user())
    assert client.post(f"/jobs/{job_id}/retry").status_code in (403, 404)
    sign_in(factories.make_user(role="manager"))
    assert "given up" in client.get("/jobs").text
    assert client.post(f"/jobs/{job_id}/retry", follow_redirects=False).status_code == 303
    assert client.post(f"/jobs/{job_id}/retry", follow_redirects=False).status_code == 409
    assert runner.run_next("fit", "me")
    assert handled == [job_id]
    with reading() as session:
        assert session.scalar(select(AuditEvent.what).where(AuditEvent.what == "job.retried"))


def test_the_last_batch_that_is_given_up_leaves_its_neighbours_to_be_scored(installation: Path) -> None:
    with transaction() as session:
        (job_id,) = jobs.embed_images(session, 1, 1, [1])
    for _ in range(leases.MAX_ATTEMPTS):
        with reading() as session:
            assert not job_queries.is_queued(session, "fit:1")
        hold(job_id)
        expire(job_id)
        sweep()
    with reading() as session:
        assert job_queries.is_queued(session, "fit:1")


def test_an_error_is_shown_and_tried_again_after_a_pause(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(_task: Task) -> None:
        raise ValueError("the disk is on fire")

    monkeypatch.setattr(runner, "_handler", lambda _kind: handler)
    job_id = queue_fit()
    for attempt in range(leases.MAX_ATTEMPTS):
        assert runner.run_next("fit", "me"), f"attempt {attempt} did not come"
        assert "the disk is on fire" in job(job_id).message
        assert not runner.run_next("fit", "me")  # it pauses
        with transaction() as session:
            session.execute(update(Job).values(not_before=None))
    assert job(job_id).state == "dead"


def test_a_restarted_worker_takes_up_what_its_former_life_left(handled: list[int]) -> None:
    job_id = queue_fit()
    hold(job_id, owner="host/8000/fit")
    with transaction() as session:
        assert leases.release(session, "host/8000/other") == 0
        assert leases.release(session, "host/8000/fit") == 1
    assert runner.run_next("fit", "me")
    assert handled == [job_id]


def test_a_long_job_keeps_its_lease(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIFTYCELLS_LEASE_SECONDS", "0.3")
    jobs.get_settings.cache_clear()

    def handler(task: Task) -> None:
        first = job(task.job_id).lease_until
        until_later = lambda: job(task.job_id).lease_until != first  # noqa: E731
        until(until_later, 5, "the lease was not extended")
        sweep()

    monkeypatch.setattr(runner, "_handler", lambda _kind: handler)
    job_id = queue_fit()
    assert runner.run_next("fit", "me")
    assert (job(job_id).state, job(job_id).attempts) == ("done", 1)


def test_nothing_is_sent_or_kept_of_a_transaction_that_fails(installation: Path) -> None:
    sent: list[int] = []

    def fail() -> None:
        with transaction() as session:
            jobs.fit_classifier(session, 1)
            jobs.after_commit(session, lambda: sent.append(1))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    with reading() as session:
        assert session.scalar(select(Job.id)) is None
    with transaction() as session:
        jobs.after_commit(session, lambda: sent.append(2))
        assert sent == []
    assert sent == [2]
