"""Reads of webhooks and their log."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Delivery, DeliveryAttempt, Webhook

LOG_PAGE = 50


def of_project(session: Session, project_id: int) -> Sequence[Webhook]:
    """Return the webhooks of a project, oldest first."""
    return session.scalars(select(Webhook).where(Webhook.project_id == project_id).order_by(Webhook.id)).all()


def log(session: Session, webhook: Webhook, below: int | None) -> Sequence[Delivery]:
    """Return a page of what was sent to a receiver, newest first, and one more if there is more."""
    query = select(Delivery).where(Delivery.webhook_id == webhook.id)
    if below is not None:
        query = query.where(Delivery.id < below)
    return session.scalars(query.order_by(Delivery.id.desc()).limit(LOG_PAGE + 1)).all()


def attempts(session: Session, deliveries: Sequence[Delivery]) -> dict[int, list[DeliveryAttempt]]:
    """Return the attempts of each delivery by its id, oldest first."""
    found: dict[int, list[DeliveryAttempt]] = defaultdict(list)
    ids = [delivery.id for delivery in deliveries]
    query = select(DeliveryAttempt).where(DeliveryAttempt.delivery_id.in_(ids)).order_by(DeliveryAttempt.id)
    for attempt in session.scalars(query):
        found[attempt.delivery_id].append(attempt)
    return found
