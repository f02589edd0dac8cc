"""The team page: what was done in which time."""

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.annotations import team
from app.annotations.access import may_see_times_of
from app.db import SessionDep, now
from app.models import Project, User
from app.projects.access import ViewableProject
from app.templating import render

router = APIRouter(tags=["annotations"])
LastDay = Annotated[date | None, Query(ge=date(2000, 1, 1), le=date(2200, 1, 1))]


@router.get("/projects/{project_id}/team")
def index(
    request: Request, project: ViewableProject, user: CurrentUser, session: SessionDep, until: LastDay = None
) -> HTMLResponse:
    """Show what was done in which time on the fourteen days up to `until`; nothing where decisions are not timed."""
    today = now().astimezone().date()
    period = team.Period(until or today)
    newer = min(period.last + timedelta(days=team.DAYS), today)
    return render(
        request,
        "annotations/team.html",
        active="team",
        project=project,
        period=period,
        days=_days(session, project, user, period) if project.timed else [],
        older=period.first - timedelta(days=1) if team.earlier(session, project.id, period) else None,
        newer=newer if newer > period.last else None,
        clock=now().astimezone().strftime("UTC%z"),
    )


def _days(session: Session, project: Project, user: User, period: team.Period) -> list[dict[str, Any]]:
    """Return the days, the newest first: the team's total, and the people whose times this user may see, by name."""
    names = {row.id: row.name for row in session.execute(select(User.id, User.name))}
    found = team.work(session, project.id, period)
    return [
        {
            "day": day,
            "people": sorted(
                ((names[person], work) for person, work in people.items() if may_see_times_of(user, person)),
                key=lambda row: row[0].casefold(),
            ),
            "total": team.total(people.values()),
        }
        for day, people in sorted(found.items(), reverse=True)
    ]
