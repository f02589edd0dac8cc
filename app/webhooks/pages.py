"""Pages of the webhooks of a project, each with its log."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.errors import Conflict, Invalid
from app.forms import FormValues, PageId, fields, parse, reasons_of
from app.language import N_
from app.models import Project, Webhook
from app.projects.access import ManagedProject
from app.templating import render
from app.webhooks import queries, service
from app.webhooks.access import ManagedDelivery, ManagedWebhook
from app.webhooks.forms import NewWebhook, WebhookChange

EVENTS = {
    "slide.state_changed": N_("A slide changes its state"),
    "classifier.activated": N_("A classifier is activated for a scanner"),
    "scanner.alarm": N_("A scanner leaves its limits"),
    service.TEST: N_("Test"),
}
CHOICES = [(name, title) for name, title in EVENTS.items() if name != service.TEST]

Chosen = Annotated[list[str] | None, Form()]  # the boxes that are ticked

router = APIRouter(tags=["webhooks"])


def _index(
    request: Request,
    session: Session,
    project: Project,
    values: Mapping[str, Any],
    chosen: list[str],
    error: Invalid | Conflict | None = None,
) -> Response:
    return render(
        request,
        "webhooks/index.html",
        status=error.status if error else 200,
        active="settings",
        project=project,
        webhooks=queries.of_project(session, project.id),
        choices=CHOICES,
        titles=EVENTS,
        chosen=chosen,
        values=values,
        errors=reasons_of(error),
        problem=error.detail if isinstance(error, Conflict) else "",
    )


def _one(
    request: Request, session: Session, webhook: Webhook, *, below: int | None = None, status: int = 200, **shown: Any
) -> Response:
    """Show a webhook and its log; `shown` is what differs from just looking at it."""
    found = queries.log(session, webhook, below)
    page = found[: queries.LOG_PAGE]
    context: dict[str, Any] = {
        "project": session.get_one(Project, webhook.project_id),
        "webhook": webhook,
        "choices": CHOICES,
        "titles": EVENTS,
        "deliveries": page,
        "attempts": queries.attempts(session, page),
        "older": page[-1].id if len(found) > len(page) else None,
        "newest_first": below is None,
        "values": {"url": webhook.url, "events": webhook.events, "active": webhook.active},
        "errors": reasons_of(None),
        "secret": "",
    }
    return render(request, "webhooks/webhook.html", status=status, active="settings", **(context | shown))


@router.get("/projects/{project_id}/webhooks")
def index(request: Request, project: ManagedProject, session: SessionDep) -> Response:
    """Show the webhooks and the form of a new one."""
    return _index(request, session, project, fields(), [name for name, _title in CHOICES])


@router.post("/projects/{project_id}/webhooks")
def add(
    request: Request,
    project: ManagedProject,
    user: CurrentUser,
    session: SessionDep,
    values: FormValues,
    events: Chosen = None,
) -> Response:
    """Add a webhook and show its secret this one time."""
    chosen = events or []
    try:
        form = parse(NewWebhook, {"url": values["url"], "events": chosen})
        webhook, secret = service.create(session, project, form, user)
    except (Invalid, Conflict) as error:
        return _index(request, session, project, values, chosen, error)
    return _one(request, session, webhook, secret=secret)


@router.get("/webhooks/{webhook_id}")
def read(request: Request, webhook: ManagedWebhook, session: SessionDep, below: PageId = None) -> Response:
    """Show a webhook and what was sent, newest first; `below` is the last delivery already seen."""
    return _one(request, session, webhook, below=below)


@router.post("/webhooks/{webhook_id}")
def change(
    request: Request,
    webhook: ManagedWebhook,
    user: CurrentUser,
    session: SessionDep,
    values: FormValues,
    events: Chosen = None,
) -> Response:
    """Change the address, the events, or whether it is on."""
    wanted = {"url": values["url"], "events": events or [], "active": bool(values["active"])}
    try:
        service.change(session, webhook, parse(WebhookChange, wanted), user)
    except Invalid as error:
        return _one(request, session, webhook, status=error.status, values=wanted, errors=reasons_of(error))
    return _back(webhook)


@router.post("/webhooks/{webhook_id}/secret")
def rotate(request: Request, webhook: ManagedWebhook, user: CurrentUser, session: SessionDep) -> Response:
    """Make a new secret and show it this one time."""
    return _one(request, session, webhook, secret=service.rotate(session, webhook, user))


@router.post("/webhooks/{webhook_id}/test")
def send_test(webhook: ManagedWebhook, session: SessionDep) -> Response:
    """Send an event that means nothing."""
    service.send_test(session, webhook)
    return _back(webhook)


@router.post("/webhooks/{webhook_id}/delete")
def remove(webhook: ManagedWebhook, user: CurrentUser, session: SessionDep) -> Response:
    """Delete a webhook with its log."""
    service.remove(session, webhook, user)
    return RedirectResponse(f"/projects/{webhook.project_id}/webhooks", 303)


@router.post("/deliveries/{delivery_id}/send")
def send_again(delivery: ManagedDelivery, session: SessionDep) -> Response:
    """Send something once more."""
    service.send_again(session, delivery)
    return RedirectResponse(f"/webhooks/{delivery.webhook_id}", 303)


def _back(webhook: Webhook) -> RedirectResponse:
    return RedirectResponse(f"/webhooks/{webhook.id}", 303)
