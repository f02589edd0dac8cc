"""The audit trail."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base, UtcDateTime, now


class AuditEvent(Base):
    """A change of record, written in its transaction and never changed. Annotations are their own trail."""

    __tablename__ = "audit_event"
    __table_args__ = (Index("ix_audit_event_project_id", "project_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    project_id: Mapped[int | None]
    what: Mapped[str]  # "class.renamed"
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)  # old and new values


def record(session: Session, what: str, *, by: int | None, project_id: int | None = None, **detail: Any) -> None:
    """Append an audit event to the transaction that makes the change."""
    session.add(AuditEvent(at=now(), user_id=by, project_id=project_id, what=what, detail=detail))
