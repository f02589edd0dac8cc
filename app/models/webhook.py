"""Webhooks: who wants to be told, what is told, and how each attempt ended."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Webhook(Base):
    """A receiver of events of a project. Its secret is made of `salt` and the key of the installation, never stored."""

    __tablename__ = "webhook"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    url: Mapped[str]
    events: Mapped[list[Any]] = mapped_column(JSON)
    active: Mapped[bool] = mapped_column(default=True)
    salt: Mapped[str]
    old_salt: Mapped[str | None]  # of the secret before, which signs beside the new one for a while
    rotated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failures: Mapped[int] = mapped_column(default=0)  # in a row
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resume_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # nothing is sent before, the receiver is failing
    switched_off_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # by the server, as it was down for long
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Delivery(Base):
    """An event on its way to a receiver. States: pending, delivered, failed (given up; can be sent again by hand)."""

    __tablename__ = "delivery"
    __table_args__ = (Index("ix_delivery_webhook_id_state", "webhook_id", "state", "next_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id"))
    key: Mapped[str]  # names the event to the receiver, equal in all attempts
    event: Mapped[str]
    body: Mapped[str]
    state: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)  # since it was last asked for
    next_at: Mapped[datetime] = mapped_column(UtcDateTime)
    give_up_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class DeliveryAttempt(Base):
    """One try to deliver: the status and the beginning of the answer, or why there was none."""

    __tablename__ = "delivery_attempt"

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    seconds: Mapped[float]
    status: Mapped[int | None]
    answer: Mapped[str]
