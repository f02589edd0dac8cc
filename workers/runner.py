"""Runs one job at a time: claim, heartbeat, handler, outcome. Both carriers use it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from time import monotonic
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import events, leases
from app.config import get_settings
from app.db import reading, transaction
from app.job import Job

# Where the work of a kind of job is done. Modules are imported at first use: unpacking never loads torch.
HANDLERS = {
    "adaptations.adopt": "workers.adaptations:adopt",
    "adaptations.compare": "workers.adaptations:compare",
    "annotations.accept": "workers.annotations:accept",
    "annotations.import": "workers.annotations:import_labels",
    "annotations.undo": "workers.annotations:undo",
    "cells.embed": "workers.cells:embed",
    "classifiers.fit": "workers.classifiers:fit",
    "classifiers.preview": "workers.previews:preview",
    "demo.seed": "workers.demo:seed",
    "encoders.embed_missing": "workers.encoders:embed_missing",
    "encoders.pretrain": "workers.continuing:pretrain",
    "maps.extend": "workers.maps:extend",
    "fields.cut": "workers.fields:cut_cell",
    "maps.lay_out": "workers.maps:lay_out",
    "packs.examine": "workers.packs:examine",
    "packs.export": "workers.pack_export:export",
    "packs.import": "workers.packs:take_in",
    "reports.classify": "workers.reports:classify",
    "scanners.watch": "workers.watching:watch",
    "slides.delete_originals": "workers.retention:delete_originals",
    "slides.unpack": "workers.slides:unpack",
    "webhooks.send": "workers.webhooks:send",
}
PROGRESS_EVERY = 0.3  # seconds; a person sees steady movement, the database few writes

log = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """The job was taken away from this worker; whatever it still wanted to write is refused."""


@dataclass
class Task:
    """A claimed job in the hands of its handler."""

    job_id: int
    kind: str
    fence: int
    project_id: int
    arguments: dict[str, Any]
    _told: float = field(default=0.0, repr=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Write as long as the job is still ours. Raises LeaseLostError, and nothing is written, if it is not."""
        with transaction() as session:
            self._locked_job(session)
            yield session

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Show how far the work is; cheap to call often. Raises LeaseLostError."""
        if monotonic() - self._told < PROGRESS_EVERY:
            return
        self._told = monotonic()
        with transaction() as session:
            job = self._locked_job(session)
            job.progress_done, job.progress_total, job.message = done, total, message
            _tell(session, job)

    def finish(self) -> None:
        """Mark the job done. Raises LeaseLostError."""
        with transaction() as session:
            job = self._locked_job(session)
            leases.finish(job)
            _tell(session, job)

    def fail(self, error: BaseException) -> None:
        """Record an error; the job is tried again later or given up. Raises LeaseLostError."""
        with transaction() as session:
            job = self._locked_job(session)
            leases.fail(session, job, f"{type(error).__name__}: {error}"[:1000])
            _tell(session, job)

    def _locked_job(self, session: Session) -> Job:
        job = session.get(Job, self.job_id, with_for_update=True)
        if job is None or job.fence != self.fence or job.state != "running":
            raise LeaseLostError(f"job {self.job_id} was taken over")
        return job


def _tell(session: Session, job: Job) -> None:
    payload = {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "done": job.progress_done,
        "total": job.progress_total,
        "message": job.message,
    }
    if job.project_id is not None:
        events.publish(session, job.project_id, "job", payload)


def run_next(queue: str, owner: str) -> bool:
    """Run the oldest waiting job of a queue; False if there is none. Idle looks do not take the write lock."""
    which = Job.queue == queue
    with reading() as session:
        if not leases.waiting(session, which):
            return False
    return _run(which, owner, pass_over_locked=True)


def run_job(job_id: int, owner: str) -> bool:
    """Run one job by id, as Celery asks; False if it is already done, running or paused."""
    return _run(Job.id == job_id, owner, pass_over_locked=False)


def _run(which: Any, owner: str, *, pass_over_locked: bool) -> bool:
    with transaction() as session:
        job = leases.claim(session, which, owner, pass_over_locked=pass_over_locked)
        if job is None:
            return False
        task = Task(job.id, job.kind, job.fence, job.project_id or 0, job.arguments)
    try:
        with _heartbeat(task):
            _perform(task)
    except LeaseLostError:
        log.warning("job %s was taken over by another worker", task.job_id)
    return True


def _perform(task: Task) -> None:
    try:
        _handler(task.kind)(task)
    except LeaseLostError:
        raise
    except Exception as error:
        log.exception("job %s (%s) failed", task.job_id, task.kind)
        task.fail(error)
    else:
        task.finish()


def _handler(kind: str) -> Callable[[Task], None]:
    module, _, function = HANDLERS[kind].partition(":")
    handler: Callable[[Task], None] = getattr(import_module(module), function)
    return handler


@contextmanager
def _heartbeat(task: Task) -> Iterator[None]:
    """Extend the lease from a second thread until the work is over."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(get_settings().lease_seconds / 3):
            try:
                with transaction() as session:
                    if not leases.heartbeat(session, task.job_id, task.fence):
                        return
            except OperationalError as error:  # a restart of the database is shorter than the lease
                log.warning("the lease of job %s was not extended: %s", task.job_id, error)

    thread = threading.Thread(target=beat, name=f"heartbeat-{task.job_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
