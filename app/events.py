"""What happened in a project, as rows: the server-sent event stream reads them, `Last-Event-ID` replays them."""

from collections.abc import Container
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Index, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base, UtcDateTime, now

KEEP = timedelta(hours=12)
# On PostgreSQL a transaction that began earlier may commit later, so readers look this far behind the newest event.
OVERLAP = timedelta(seconds=10)


class Event(Base):
    """One thing that happened: labels, scores, embedding, upload or job."""

    __tablename__ = "event"
    # Ids are never given twice, even after old events are gone: a browser resumes after the last one it saw.
    __table_args__ = (Index("ix_event_created_at", "created_at"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]  # no foreign key: events are short-lived and outlive nothing
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


def publish(session: Session, project_id: int, kind: str, payload: dict[str, Any]) -> None:
    """Tell everybody who has the project open; seen by them once this transaction commits."""
    session.add(Event(project_id=project_id, kind=kind, payload=payload, created_at=now()))


def newest(session: Session) -> int:
    """Return the id of the newest event, 0 if there is none."""
    return session.scalar(select(func.max(Event.id))) or 0


def since(session: Session, event_id: int, known: Container[int] = (), *, limit: int = 1000) -> list[Event]:
    """Return the events after `event_id` and those of the seconds before it, oldest first, without the `known` ones.

    Whoever asks again and again knows nearly all of them: only their ids are read.
    """
    recent = Event.created_at > now() - OVERLAP
    ids = select(Event.id).where(Event.id > event_id - limit, (Event.id > event_id) | recent)
    new = [each for each in session.scalars(ids.order_by(Event.id).limit(2 * limit)) if each not in known]
    return list(session.scalars(select(Event).where(Event.id.in_(new)).order_by(Event.id))) if new else []


def prune(session: Session) -> None:
    """Forget events nobody will ask for again."""
    session.execute(delete(Event).where(Event.created_at < now() - KEEP))
