"""Who may see and change webhooks: managers, as an address and what is sent there concern the whole lab."""

from typing import Annotated

from fastapi import Depends

from app.accounts.access import Manager
from app.db import SessionDep
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Delivery, Webhook


def managed_webhook(webhook_id: PathId, _user: Manager, session: SessionDep) -> Webhook:
    """Return the webhook of the path, locked. Raises Forbidden or NotFound."""
    webhook = session.get(Webhook, webhook_id, with_for_update=True)
    if webhook is None:
        raise NotFound(_("There is no such webhook."))
    return webhook


def managed_delivery(delivery_id: PathId, _user: Manager, session: SessionDep) -> Delivery:
    """Return the delivery of the path, locked. Raises Forbidden or NotFound."""
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    if delivery is None:
        raise NotFound(_("There is no such delivery."))
    return delivery


ManagedWebhook = Annotated[Webhook, Depends(managed_webhook)]
ManagedDelivery = Annotated[Delivery, Depends(managed_delivery)]
