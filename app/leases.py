"""The life of a job's row: claimed for a while, kept alive, done, put back or given up.

docs/decisions/0002-job-rows.md says why.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.carrier import send
from app.config import get_settings
from app.db import after_commit, now
from app.job import Job
from app.jobs import fit_classifier
from app.language import N_

MAX_ATTEMPTS = 5
# A message can be lost with its broker; the sweeper sends the id of a job again that waited this long.
RESEND_AFTER = timedelta(seconds=30)


def claim(session: Session, which: Any, owner: str, *, pass_over_locked: bool = True) -> Job | None:
    """Take the oldest waiting job among `which` for `owner`; None if there is none. Attempts are counted here,
    before the work, so that a job that kills its worker ends as dead instead of going round for ever.

    A job that a transaction asks for at this moment is passed over by those who look again soon, and waited for by
    those who are told its id only once.
    """
    moment = now()
    oldest = select(Job.id).where(_claimable(moment), which).order_by(Job.id).limit(1)
    return session.scalar(
        update(Job)
        .where(Job.id == oldest.with_for_update(skip_locked=pass_over_locked).scalar_subquery())
        .values(
            state="running",
            attempts=Job.attempts + 1,
            fence=Job.fence + 1,
            lease_owner=owner,
            lease_until=moment + timedelta(seconds=get_settings().lease_seconds),
            started_at=moment,
            message="",
        )
        .returning(Job)
    )


def waiting(session: Session, which: Any) -> bool:
    """Say whether a job among `which` could be claimed now."""
    return session.scalar(select(Job.id).where(_claimable(now()), which).limit(1)) is not None


def _claimable(moment: datetime) -> ColumnElement[bool]:
    return (Job.state == "queued") & (Job.not_before.is_(None) | (Job.not_before <= moment))


def heartbeat(session: Session, job_id: int, fence: int) -> bool:
    """Extend the lease of a running job; False if it was taken away."""
    lease = now() + timedelta(seconds=get_settings().lease_seconds)
    mine = (Job.id == job_id) & (Job.fence == fence) & (Job.state == "running")
    return session.scalar(update(Job).where(mine).values(lease_until=lease).returning(Job.id)) is not None


def finish(job: Job) -> None:
    """Mark a running job done."""
    job.state, job.finished_at, job.lease_until = "done", now(), None
    job.progress_done = job.progress_total


def fail(session: Session, job: Job, message: str) -> None:
    """Put a job that raised an error back for a later attempt, or give it up after MAX_ATTEMPTS."""
    if job.attempts >= MAX_ATTEMPTS:
        _give_up(session, job, message)
    else:
        _requeue(session, job, message, pause=timedelta(seconds=2**job.attempts))


def _give_up(session: Session, job: Job, message: str) -> None:
    job.state, job.finished_at, job.message = "dead", now(), message
    if job.kind == "cells.embed" and job.project_id is not None:
        # Its neighbours may have left it to the last batch to ask for scores, and this was the last one.
        fit_classifier(session, job.project_id)


def retry(session: Session, job: Job) -> None:
    """Give a dead job a new set of attempts."""
    job.attempts, job.finished_at = 0, None
    _requeue(session, job, N_("Started again by hand."))


def release(session: Session, owner: str) -> int:
    """Return the jobs a former life of `owner` still held to the queue; returns how many."""
    return _take_back(session, (Job.state == "running") & (Job.lease_owner == owner))


def sweep(session: Session) -> int:
    """Take back jobs whose lease ended and send ids that a broker may have lost. Returns how many were taken back."""
    moment = now()
    count = _take_back(session, (Job.state == "running") & (Job.lease_until < moment))
    if get_settings().broker_url:
        forgotten = _claimable(moment) & (Job.sent_at < moment - RESEND_AFTER)
        for job in session.scalars(select(Job).where(forgotten).order_by(Job.id).limit(500)):
            job.sent_at = moment
            after_commit(session, partial(send, job.id, job.queue))
    return count


def _take_back(session: Session, which: Any) -> int:
    taken = session.scalars(select(Job).where(which).with_for_update()).all()
    for job in taken:
        if job.attempts >= MAX_ATTEMPTS:
            _give_up(session, job, N_("The worker stopped each time it tried this."))
        else:
            _requeue(session, job, N_("Taken back after its worker stopped."))
    return len(taken)


def _requeue(session: Session, job: Job, message: str, pause: timedelta = timedelta()) -> None:
    """Put a job back; where an equal one already waits, that one does the work and this one is done."""
    job.lease_owner = job.lease_until = None
    job.message = message
    session.flush()
    not_before = now() + pause
    try:
        with session.begin_nested():
            job.state, job.not_before = "queued", not_before
            job.sent_at = not_before - RESEND_AFTER  # the sweeper sends it as soon as the pause is over
    except IntegrityError:  # the unique index also knows of one that is being added at this moment
        elsewhere = N_("Another job goes on with it.")
        job.state, job.finished_at, job.message = "done", now(), f"{message}\n{elsewhere}"
