"""REST endpoint of the event stream."""

from typing import Annotated

from fastapi import Query, Request, Response
from sqlalchemy import select
from sse_starlette import EventSourceResponse

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.forms import Id
from app.models import Member
from app.projects.access import find_project
from app.projects.live import send_events
from app.rest import problems, rest_router

router = rest_router("events")


@router.get(
    "/events",
    summary="Listen to events",
    response_class=Response,
    responses={200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}, **problems(404)},
)
def listen(
    request: Request,
    user: CurrentUser,
    session: SessionDep,
    project_id: Annotated[Id | None, Query(description="Only the events of this project.")] = None,
) -> EventSourceResponse:
    """Stream what happens in all projects you may see, or in one of them.

    Kinds are `labels`, `upload`, `embedding`, `scores`, `metrics` and `job`; docs/rest.md shows their data. A stream
    ends after ten minutes: connect again with `Last-Event-ID`, and what happened meanwhile comes first. An event may
    then come twice; it has the same id.
    """
    if project_id is not None:
        find_project(session, project_id, user)
        return send_events(request, lambda event: event.project_id == project_id)
    if user.role == "manager":
        return send_events(request, lambda _event: True)
    mine = frozenset(session.scalars(select(Member.project_id).where(Member.user_id == user.id)))
    return send_events(request, lambda event: event.project_id in mine)
