"""REST endpoints of the webhooks."""

from datetime import datetime
from typing import Literal

from fastapi import Response
from pydantic import BaseModel, Field
from sqlalchemy import select

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.models import Delivery, DeliveryAttempt, Webhook
from app.projects.access import ManagedProject
from app.rest import PREFIX, Page, PagingQuery, rest_router, rows_of_page
from app.webhooks import queries, service
from app.webhooks.access import ManagedDelivery, ManagedWebhook
from app.webhooks.forms import NewWebhook, WebhookChange

router = rest_router("webhooks")


class WebhookItem(BaseModel):
    """A receiver of events of a project."""

    id: int
    project_id: int
    url: str
    events: list[str]
    active: bool
    failing_since: datetime | None = Field(description="Nothing has arrived since then; null when all is well.")
    switched_off_at: datetime | None = Field(description="When it was switched off because its receiver was down.")
    created_at: datetime


class Secret(BaseModel):
    """What signs the deliveries; it is shown only now."""

    id: int
    secret: str


class Attempt(BaseModel):
    """One try to deliver."""

    at: datetime
    seconds: float
    status: int | None = Field(description="Null if there was no answer.")
    answer: str = Field(description="The beginning of the answer, or why there was none.")


class DeliveryItem(BaseModel):
    """Something sent to a receiver, or still to be sent."""

    id: int
    webhook_id: int
    key: str = Field(description="The header `webhook-id`, equal in all attempts.")
    event: str
    body: str
    state: Literal["pending", "delivered", "failed"]
    next_at: datetime | None
    created_at: datetime
    attempts: list[Attempt]


def _item(webhook: Webhook) -> WebhookItem:
    return WebhookItem.model_validate(webhook, from_attributes=True)


def _delivery(delivery: Delivery, attempts: list[DeliveryAttempt]) -> DeliveryItem:
    return DeliveryItem(
        id=delivery.id,
        webhook_id=delivery.webhook_id,
        key=delivery.key,
        event=delivery.event,
        body=delivery.body,
        state=delivery.state,
        next_at=delivery.next_at if delivery.state == "pending" else None,
        created_at=delivery.created_at,
        attempts=[Attempt.model_validate(each, from_attributes=True) for each in attempts],
    )


@router.post("/projects/{project_id}/webhooks", status_code=201, summary="Add a webhook")
def create(
    project: ManagedProject, form: NewWebhook, user: CurrentUser, session: SessionDep, response: Response
) -> Secret:
    """Have events sent to an address; managers only. docs/webhooks.md says how to verify them."""
    webhook, secret = service.create(session, project, form, user)
    response.headers["Location"] = f"{PREFIX}/webhooks/{webhook.id}"
    return Secret(id=webhook.id, secret=secret)


@router.get("/projects/{project_id}/webhooks", summary="List webhooks")
def index(project: ManagedProject, session: SessionDep, paging: PagingQuery) -> Page[WebhookItem]:
    """List the webhooks of a project; managers only."""
    query = select(Webhook.id, Webhook).where(Webhook.project_id == project.id)
    rows, next_cursor = rows_of_page(session, query, Webhook.id, paging)
    return Page(items=[_item(row.Webhook) for row in rows], next_cursor=next_cursor)


@router.get("/webhooks/{webhook_id}", summary="Read a webhook")
def read(webhook: ManagedWebhook) -> WebhookItem:
    """Say where it sends what; managers only."""
    return _item(webhook)


@router.patch("/webhooks/{webhook_id}", summary="Change a webhook")
def change(webhook: ManagedWebhook, form: WebhookChange, user: CurrentUser, session: SessionDep) -> WebhookItem:
    """Change the address, the events, or switch it on or off; managers only."""
    service.change(session, webhook, form, user)
    return _item(webhook)


@router.delete("/webhooks/{webhook_id}", status_code=204, summary="Delete a webhook")
def remove(webhook: ManagedWebhook, user: CurrentUser, session: SessionDep) -> None:
    """Delete it with its log; managers only."""
    service.remove(session, webhook, user)


@router.post("/webhooks/{webhook_id}/secret", summary="Change the secret of a webhook")
def rotate(webhook: ManagedWebhook, user: CurrentUser, session: SessionDep) -> Secret:
    """Make a new secret; managers only. For a day, deliveries are signed with the one before as well."""
    return Secret(id=webhook.id, secret=service.rotate(session, webhook, user))


@router.post("/webhooks/{webhook_id}/test", status_code=202, summary="Send a test event")
def send_test(webhook: ManagedWebhook, session: SessionDep) -> DeliveryItem:
    """Send an event of the type `test`; managers only."""
    return _delivery(service.send_test(session, webhook), [])


@router.get("/webhooks/{webhook_id}/deliveries", summary="List deliveries")
def deliveries(webhook: ManagedWebhook, session: SessionDep, paging: PagingQuery) -> Page[DeliveryItem]:
    """List what was sent in the last 30 days, newest first, with every attempt; managers only."""
    query = select(Delivery.id, Delivery).where(Delivery.webhook_id == webhook.id)
    rows, next_cursor = rows_of_page(session, query, Delivery.id, paging, descending=True)
    attempts = queries.attempts(session, [row.Delivery for row in rows])
    return Page(items=[_delivery(row.Delivery, attempts[row.id]) for row in rows], next_cursor=next_cursor)


@router.post("/deliveries/{delivery_id}/send", status_code=202, summary="Send a delivery again")
def send_again(delivery: ManagedDelivery, session: SessionDep) -> DeliveryItem:
    """Send it once more under the same `webhook-id`; managers only."""
    service.send_again(session, delivery)
    return _delivery(delivery, queries.attempts(session, [delivery])[delivery.id])
