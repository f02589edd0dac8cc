"""What has to happen now and then: lost leases, lost messages, old events and old answers."""

import logging
from datetime import timedelta
from time import monotonic, sleep

from sqlalchemy import delete, select

from app import events, jobs, leases
from app.config import get_settings
from app.db import connect, now, reading, transaction
from app.job import Job
from app.models import Batch, IdempotencyKey, Project, Slide, Upload
from app.slides import resumable, states
from app.webhooks import service as webhooks

PRUNE_EVERY = 3600.0  # seconds
KEEP_JOBS = timedelta(days=30)
KEEP_PIECES = timedelta(days=7)
KEEP_ANSWERS = timedelta(hours=24)
RETENTION_EVERY = timedelta(days=1)
KEEP_BATCHES = timedelta(days=30)  # a review may hold a million cells

log = logging.getLogger(__name__)


class Housekeeper:
    """Call `tick` often; it does each chore when its time has come."""

    def __init__(self) -> None:
        self._swept = self._pruned = 0.0

    def tick(self) -> None:
        """Sweep leases and look after slides every third of a lease; prune, and look for originals, every hour."""
        if monotonic() - self._swept > get_settings().lease_seconds / 3:
            self._swept = monotonic()
            sweep()
            complete_slides()
            settle_slides()
        if monotonic() - self._pruned > PRUNE_EVERY:
            self._pruned = monotonic()
            prune()
            give_up_uploads()
            retain()
            resumable.take_up()


def sweep() -> None:
    """Take back jobs whose worker is silent and send ids the broker may have lost."""
    with reading() as session:
        if session.scalar(select(Job.id).where(Job.state.in_(("queued", "running"))).limit(1)) is None:
            return
    with transaction() as session:
        if taken := leases.sweep(session):
            log.warning("took back %s jobs whose worker was silent", taken)


def give_up_uploads() -> None:
    """Forget files sent in pieces whose sender has not come back for days."""
    silent = Upload.resumable_name.is_not(None) & Upload.completed_at.is_(None)
    with transaction() as session:
        found = session.execute(
            select(Upload, Slide.project_id).join(Slide).where(silent, Upload.heard_at < now() - KEEP_PIECES)
        ).all()
        for upload, project_id in found:
            resumable.give_up(session, upload, project_id)


def complete_slides() -> None:
    """Complete slides that were sent by someone who does not say when it is all."""
    recent = now() - timedelta(seconds=get_settings().complete_after_seconds)
    busy = select(Upload.slide_id).where(Upload.completed_at.is_(None) | (Upload.completed_at > recent))
    quiet = (Slide.state == "receiving") & Slide.id.in_(select(Upload.slide_id)) & Slide.id.not_in(busy)
    with reading() as session:
        found = session.scalars(select(Slide.id).where(quiet)).all()
    for slide_id in found:
        with transaction() as session:
            slide = session.get_one(Slide, slide_id, with_for_update=True)
            if session.scalar(select(Slide.id).where(Slide.id == slide_id, quiet)):
                states.complete(session, slide)


def settle_slides() -> None:
    """Let slides fail whose work was given up."""
    dead = select(Job.project_id).where(
        Job.state == "dead", Job.kind.in_(("slides.unpack", "cells.embed", "reports.classify"))
    )
    waiting = Slide.state.in_(("queued", "processing")) & Slide.project_id.in_(dead)
    with reading() as session:
        found = session.scalars(select(Slide.id).where(waiting)).all()
    for slide_id in found:
        with transaction() as session:
            states.settle(session, session.get_one(Slide, slide_id))


def prune() -> None:
    """Forget old events, what was told to receivers, finished jobs, stored answers and batches of cells."""
    with transaction() as session:
        events.prune(session)
        webhooks.prune(session)
        session.execute(delete(Job).where(Job.state == "done", Job.finished_at < now() - KEEP_JOBS))
        session.execute(delete(Batch).where(Batch.created_at < now() - KEEP_BATCHES))
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now() - KEEP_ANSWERS))


def retain() -> None:
    """Queue the daily deletion of originals of each project that keeps them for a set time only."""
    with transaction() as session:
        for project_id in session.scalars(select(Project.id).where(Project.retention_days.is_not(None))).all():
            mine = Job.dedupe_key == jobs.retention_key(project_id)
            recent = select(Job.id).where(mine, Job.created_at > now() - RETENTION_EVERY)
            if session.scalar(recent.limit(1)) is None:
                jobs.delete_originals(session, project_id)


def main() -> None:
    """Run the sweeper as a service beside Celery workers."""
    logging.basicConfig(level=logging.INFO)
    connect(get_settings().resolved_database_url)
    housekeeper = Housekeeper()
    while True:
        housekeeper.tick()
        sleep(1)


if __name__ == "__main__":
    main()
