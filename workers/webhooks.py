"""Sends what waits for a receiver: one event after the other, until one fails or nothing is due."""

import ssl
from time import monotonic, time
from urllib.parse import urlsplit

import urllib3
from sqlalchemy import select

from app import jobs
from app.db import now, reading
from app.models import Delivery, DeliveryAttempt, Webhook
from app.webhooks import service
from app.webhooks.addresses import RefusedAddressError, resolve
from app.webhooks.signing import signatures
from workers.runner import Task

TIMEOUT = 5.0  # seconds until the connection stands, and again for each part of the answer
ANSWER_BYTES = 1000  # shown in the log


def send(task: Task) -> None:
    """Deliver what is due; a failure puts off all that waits for this receiver."""
    webhook_id = task.arguments["webhook_id"]
    while True:
        with reading() as session:
            webhook = session.get(Webhook, webhook_id)
            if webhook is None or not webhook.active:
                return
            if webhook.resume_at and webhook.resume_at > now():
                break
            delivery = session.scalar(
                select(Delivery)
                .where(Delivery.webhook_id == webhook_id, Delivery.state == "pending", Delivery.next_at <= now())
                .order_by(Delivery.next_at, Delivery.id)
                .limit(1)
            )
        if delivery is None or not _deliver(task, webhook, delivery.id):
            break
    with task.transaction() as session:
        found = session.get(Webhook, webhook_id)
        if found and (due := service.next_due(session, found)):
            jobs.send_webhook(session, task.project_id, webhook_id, due)


def _deliver(task: Task, webhook: Webhook, delivery_id: int) -> bool:
    """Try once and write down how it went; says whether it arrived."""
    with reading() as session:
        delivery = session.get_one(Delivery, delivery_id)
    moment, started = now(), monotonic()
    status, answer = _post(webhook, delivery)
    delivered = status is not None and 200 <= status < 300
    attempt = DeliveryAttempt(
        delivery_id=delivery_id, at=moment, seconds=monotonic() - started, status=status, answer=answer
    )
    with task.transaction() as session:
        # The webhook may have been deleted while the receiver thought about it.
        if present := session.get(Delivery, delivery_id, with_for_update=True):
            service.note(session, present, attempt, delivered=delivered)
    return delivered


def _post(webhook: Webhook, delivery: Delivery) -> tuple[int | None, str]:
    """Send an event; returns the status and the beginning of the answer, or None and why there is none."""
    timestamp = int(time())
    parts = urlsplit(webhook.url)
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "Fiftycells-Webhooks/1",
        "webhook-id": delivery.key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(webhook, delivery.key, timestamp, delivery.body),
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with _pool(webhook.url) as pool:
            answer = pool.request(
                "POST", path, body=delivery.body.encode(), headers=headers, redirect=False, preload_content=False
            )
            words = answer.read(ANSWER_BYTES, decode_content=False)
            answer.close()
    except (urllib3.exceptions.HTTPError, OSError, RefusedAddressError) as error:
        return None, f"{type(error).__name__}: {error}"[:ANSWER_BYTES]
    return answer.status, words.decode(errors="replace").replace("\0", "")


def _pool(url: str) -> urllib3.HTTPConnectionPool:
    """Return connections to the address a name stands for now; its certificate has to be for the name."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = resolve(host, port)
    if not secure:
        return urllib3.HTTPConnectionPool(address, port, timeout=TIMEOUT, retries=False)
    return urllib3.HTTPSConnectionPool(
        address,
        port,
        timeout=TIMEOUT,
        retries=False,
        ssl_context=ssl.create_default_context(),
        server_hostname=host,
        assert_hostname=host,
    )
