"""The table of jobs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Job(Base):
    """Asynchronous work. States: queued, running, done, dead (given up after some attempts; can be retried by hand)."""

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
