"""Everything asynchronous: the job table and one function per kind of job.

The row is the truth. It is added in the caller's transaction; after the commit its id is sent to Celery when a broker
is configured, and otherwise the embedded worker finds the row by itself (docs/decisions/0002-job-rows.md).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import JSON, ColumnElement, Index, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.carrier import send
from app.config import get_settings
from app.db import Base, UtcDateTime, after_commit, insert_into, now
from app.language import N_

QUEUE_OF = {
    "classifiers.fit": "fit",
    "annotations.accept": "slides",
    "annotations.undo": "slides",
    "slides.unpack": "slides",
    "encoders.embed_missing": "slides",
    "demo.seed": "slides",
    "cells.embed": "embed",
    "maps.lay_out": "train",
    "maps.extend": "train",
}
MAX_ATTEMPTS = 5
EMBED_BATCH = 256  # cells per embedding job: a few seconds of work, so progress moves and little is repeated
# A message can be lost with its broker; the sweeper sends the id of a job again that waited this long.
RESEND_AFTER = timedelta(seconds=30)


class Job(Base):
    """Asynchronous work. States: queued, running, done, dead (gave up after MAX_ATTEMPTS; can be retried by hand)."""

    __tablename__ = "job"
    __table_args__ = (
        Index(
            "uq_job_queued_dedupe_key",
            "dedupe_key",
            unique=True,
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_job_state_queue", "state", "queue", "id"),
        Index("ix_job_state", "state", "id"),
        # Holds all that `remaining_images` adds up: rows are large, and thousands of them wait while a ZIP is embedded.
        Index("ix_job_remaining", "project_id", "kind", "state", "progress_total", "progress_done"),
        Index("ix_job_dedupe_key", "dedupe_key", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    queue: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued")
    project_id: Mapped[int | None]
    dedupe_key: Mapped[str | None]
    requests: Mapped[int] = mapped_column(default=1)  # how often it was asked for while it waited
    attempts: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fence: Mapped[int] = mapped_column(default=0)  # raised at every claim; a worker that lost its lease cannot write
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    progress_done: Mapped[int] = mapped_column(default=0)
    progress_total: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(default="")
    sent_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def unpack_upload(session: Session, project_id: int, upload_id: int) -> int:
    """Turn what was received of an upload into cells."""
    return _add(
        session,
        "slides.unpack",
        project_id,
        {"upload_id": upload_id},
        f"unpack:{upload_id}",
    )


def embed_images(session: Session, project_id: int, encoder_id: int, image_ids: Sequence[int]) -> list[int]:
    """Compute the embeddings of these images, a job per batch."""
    return [
        _add(
            session,
            "cells.embed",
            project_id,
            {"encoder_id": encoder_id, "image_ids": list(batch)},
            total=len(batch),
        )
        for batch in (image_ids[start : start + EMBED_BATCH] for start in range(0, len(image_ids), EMBED_BATCH))
    ]


def embed_missing(session: Session, project_id: int, encoder_id: int) -> int:
    """Queue embedding jobs for every image of the project that this encoder has not seen."""
    key = f"embed-missing:{project_id}:{encoder_id}"
    return _add(session, "encoders.embed_missing", project_id, {"encoder_id": encoder_id}, key)


def fit_classifier(session: Session, project_id: int) -> int:
    """Refit the assist classifier of a project on its present labels and score all its cells."""
    return _add(session, "classifiers.fit", project_id, {}, f"fit:{project_id}")


def accept_batch(session: Session, project_id: int, which: dict[str, Any], *, action: str, user_id: int) -> int:
    """Accept the first `stop` cells of the review `batch_id` but for its `exceptions`, a few at a time."""
    arguments = {**which, "action": action, "user_id": user_id}
    return _add(session, "annotations.accept", project_id, arguments, f"accept:{action}", total=which["stop"])


def replay_action(session: Session, project_id: int, undone: str, how: str, *, action: str, user_id: int) -> int:
    """Take back ("undo") all labels one action gave, or give them again ("redo"), a few at a time."""
    arguments = {"undone": undone, "how": how, "action": action, "user_id": user_id}
    return _add(session, "annotations.undo", project_id, arguments, f"{how}:{action}")


def labelling(session: Session, project_id: int) -> bool:
    """Say whether a job that gives or takes back labels waits or runs: what depends on it has to queue behind."""
    kinds = ("annotations.accept", "annotations.undo")
    unfinished = Job.kind.in_(kinds) & Job.state.in_(("queued", "running"))
    return session.scalar(select(Job.id).where(Job.project_id == project_id, unfinished).limit(1)) is not None


def lay_out_map(session: Session, project_id: int) -> int:
    """Lay the cells of a project out on a plane, in place of its present map."""
    return _add(session, "maps.lay_out", project_id, {}, map_key(project_id))


def map_key(project_id: int) -> str:
    """Return the key of the job that lays out a project."""
    return f"map:{project_id}"


def extend_map(session: Session, project_id: int) -> int:
    """Place cells that came since on the map of their project; what lies there keeps its place."""
    return _add(session, "maps.extend", project_id, {}, f"extend-map:{project_id}")


def seed_demo(session: Session) -> int:
    """Make the demo project with its generated cells."""
    return _add(session, "demo.seed", None, {}, "demo")


def _add(
    session: Session,
    kind: str,
    project_id: int | None,
    arguments: dict[str, Any],
    dedupe_key: str | None = None,
    *,
    total: int = 0,
) -> int:
    """Add a job, or find the one with the same key that still waits; its id is sent after the commit.

    The update on conflict is not decoration: it locks the waiting row until this transaction commits, so a worker
    cannot claim the job in between and miss what this transaction wrote.
    """
    moment = now()
    statement = (
        insert_into(session, Job)
        .values(
            kind=kind,
            queue=QUEUE_OF[kind],
            project_id=project_id,
            arguments=arguments,
            dedupe_key=dedupe_key,
            progress_total=total,
            created_at=moment,
            sent_at=moment,
        )
        .on_conflict_do_update(
            index_elements=[Job.dedupe_key],
            index_where=text("state = 'queued'"),
            set_={"requests": Job.requests + 1},
        )
        .returning(Job.id, Job.requests)
    )
    job_id, requests = session.execute(statement).one()
    if requests == 1 and get_settings().broker_url:
        after_commit(session, partial(send, job_id, QUEUE_OF[kind]))
    return int(job_id)


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


def remaining_images(session: Session, project_id: int) -> int:
    """Return how many images of a project still wait for their embedding."""
    query = select(func.sum(Job.progress_total - Job.progress_done)).where(
        Job.project_id == project_id,
        Job.kind == "cells.embed",
        Job.state.in_(("queued", "running")),
    )
    return session.scalar(query) or 0


def is_queued(session: Session, dedupe_key: str) -> bool:
    """Say whether a job with this key waits."""
    query = select(Job.id).where(Job.dedupe_key == dedupe_key, Job.state == "queued")
    return session.scalar(query) is not None
