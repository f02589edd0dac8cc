"""Rules of webhooks: who is told what, and what becomes of it."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app import jobs
from app.db import now
from app.errors import Conflict
from app.language import _
from app.models import Delivery, DeliveryAttempt, Project, User, Webhook
from app.models.audit import record
from app.webhooks.forms import NewWebhook, WebhookChange
from app.webhooks.signing import new_salt, secret_of

TEST = "test"
GIVE_UP_AFTER = timedelta(days=1)
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=1)
OFF_AFTER = timedelta(days=3)  # without one success
KEEP = timedelta(days=30)
MOST = 20  # webhooks of a project


def announce(session: Session, project_id: int, event: str, payload: dict[str, Any]) -> None:
    """Tell every receiver of the project that wants this event, after the commit of the caller's transaction.

    The payload holds ids and states, nothing that names a patient or a person.
    """
    query = select(Webhook).where(Webhook.project_id == project_id, Webhook.active).order_by(Webhook.id)
    for webhook in session.scalars(query):
        if event in webhook.events:
            _add(session, webhook, event, {"project_id": project_id, **payload})


def _add(session: Session, webhook: Webhook, event: str, data: dict[str, Any]) -> Delivery:
    moment = now()
    body = json.dumps({"type": event, "timestamp": moment.isoformat(), "data": data})
    delivery = Delivery(
        webhook_id=webhook.id,
        key=f"msg_{uuid4().hex}",
        event=event,
        body=body,
        next_at=moment,
        give_up_at=moment + GIVE_UP_AFTER,
        created_at=moment,
    )
    session.add(delivery)
    session.flush()
    jobs.send_webhook(session, webhook.project_id, webhook.id, webhook.resume_at)
    return delivery


def create(session: Session, project: Project, form: NewWebhook, by: User) -> tuple[Webhook, str]:
    """Add a receiver; returns it with its secret. Raises Conflict if there are too many."""
    present = session.scalars(select(Webhook.id).where(Webhook.project_id == project.id)).all()
    if len(present) >= MOST:
        raise Conflict(_("A project has at most %(most)s webhooks.", most=MOST))
    events = sorted(set(form.events))
    webhook = Webhook(project_id=project.id, url=form.url, events=events, salt=new_salt(), created_at=now())
    session.add(webhook)
    session.flush()
    record(session, "webhook.added", by=by.id, project_id=project.id, url=form.url, events=events)
    return webhook, secret_of(webhook.salt)


def change(session: Session, webhook: Webhook, form: WebhookChange, by: User) -> None:
    """Change the address, the events, or whether anything is sent; what waits is sent once it is on again."""
    wanted = form.model_dump(exclude_none=True)
    if "events" in wanted:
        wanted["events"] = sorted(set(wanted["events"]))
    changes = {name: [getattr(webhook, name), new] for name, new in wanted.items() if new != getattr(webhook, name)}
    if not changes:
        return
    for name, (_old, new) in changes.items():
        setattr(webhook, name, new)
    webhook.failures, webhook.failing_since, webhook.resume_at, webhook.switched_off_at = 0, None, None, None
    if webhook.active:
        jobs.send_webhook(session, webhook.project_id, webhook.id, None)
    record(session, "webhook.changed", by=by.id, project_id=webhook.project_id, url=webhook.url, changes=changes)


def rotate(session: Session, webhook: Webhook, by: User) -> str:
    """Give a webhook a new secret and return it; the one before goes on signing beside it for a day."""
    webhook.old_salt, webhook.rotated_at, webhook.salt = webhook.salt, now(), new_salt()
    record(session, "webhook.secret_changed", by=by.id, project_id=webhook.project_id, url=webhook.url)
    return secret_of(webhook.salt)


def remove(session: Session, webhook: Webhook, by: User) -> None:
    """Delete a webhook with its log."""
    mine = select(Delivery.id).where(Delivery.webhook_id == webhook.id)
    session.execute(delete(DeliveryAttempt).where(DeliveryAttempt.delivery_id.in_(mine)))
    session.execute(delete(Delivery).where(Delivery.webhook_id == webhook.id))
    record(session, "webhook.deleted", by=by.id, project_id=webhook.project_id, url=webhook.url)
    session.delete(webhook)


def send_test(session: Session, webhook: Webhook) -> Delivery:
    """Send an event that means nothing. Raises Conflict if the webhook is off."""
    _require_active(webhook)
    webhook.resume_at = None  # somebody is looking
    return _add(session, webhook, TEST, {"project_id": webhook.project_id})


def send_again(session: Session, delivery: Delivery) -> None:
    """Send what was sent or given up once more, for a day at most. Raises Conflict if the webhook is off."""
    webhook = session.get_one(Webhook, delivery.webhook_id, with_for_update=True)
    _require_active(webhook)
    webhook.resume_at = None
    delivery.state, delivery.attempts = "pending", 0
    delivery.next_at, delivery.give_up_at = now(), now() + GIVE_UP_AFTER
    jobs.send_webhook(session, webhook.project_id, webhook.id, None)


def _require_active(webhook: Webhook) -> None:
    if not webhook.active:
        raise Conflict(_("This webhook is off. Switch it on first."))


def note(session: Session, delivery: Delivery, attempt: DeliveryAttempt, *, delivered: bool) -> None:
    """Write down how an attempt ended, and when the next one is due; switch off a receiver that is down for long."""
    webhook = session.get_one(Webhook, delivery.webhook_id, with_for_update=True)
    session.add(attempt)
    delivery.attempts += 1
    if delivered:
        delivery.state = "delivered"
        webhook.failures, webhook.failing_since, webhook.resume_at = 0, None, None
        return
    delivery.next_at = attempt.at + pause(delivery.attempts)
    if delivery.next_at > delivery.give_up_at:
        delivery.state = "failed"
    webhook.failures += 1
    webhook.failing_since = webhook.failing_since or attempt.at
    webhook.resume_at = attempt.at + pause(webhook.failures)
    if webhook.active and attempt.at - webhook.failing_since >= OFF_AFTER:
        webhook.active, webhook.switched_off_at = False, attempt.at
        record(session, "webhook.switched_off", by=None, project_id=webhook.project_id, url=webhook.url)


def pause(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row: twice as long each time, an hour at most."""
    return min(FIRST_PAUSE * int(2 ** min(failures - 1, 20)), LONGEST_PAUSE)


def next_due(session: Session, webhook: Webhook) -> datetime | None:
    """Return when the next delivery is due; None if nothing waits."""
    query = select(Delivery.next_at).where(Delivery.webhook_id == webhook.id, Delivery.state == "pending")
    first = session.scalar(query.order_by(Delivery.next_at).limit(1))
    return max(first, webhook.resume_at or first) if first and webhook.active else None


def prune(session: Session) -> None:
    """Forget deliveries of a month ago."""
    old = select(Delivery.id).where(Delivery.created_at < now() - KEEP, Delivery.state != "pending")
    session.execute(delete(DeliveryAttempt).where(DeliveryAttempt.delivery_id.in_(old)))
    session.execute(delete(Delivery).where(Delivery.id.in_(old)))
