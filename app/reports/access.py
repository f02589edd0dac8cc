"""Who may read a report: whoever may open its project. Who may sign one: whom the project says."""

from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session

from app.accounts.access import REVIEWERS, CurrentUser
from app.db import SessionDep
from app.errors import Forbidden, NotFound
from app.forms import PathId
from app.language import _
from app.models import Project, Report, Slide, User
from app.projects.access import opens
from app.reports.settings import reporting_of
from app.slides.access import ViewableSlide


def viewable_report(report_id: PathId, user: CurrentUser, session: SessionDep) -> Report:
    """Return the version of the path. Raises NotFound, for others' reports as for missing ones."""
    report = session.get(Report, report_id)
    if report is None or not opens(session, report.project_id, user):
        raise NotFound(_("There is no such report, or you are not a member of its project."))
    return report


def may_sign(session: Session, project_id: int, user: User) -> bool:
    """Say whether a person may sign reports of a project, and amend them."""
    signer = reporting_of(session, session.get_one(Project, project_id)).signer
    return user.role in (("manager",) if signer == "manager" else REVIEWERS)


def signable_slide(slide: ViewableSlide, user: CurrentUser, session: SessionDep) -> Slide:
    """Return the slide of the path if the person may sign its report. Raises Forbidden or NotFound."""
    if not may_sign(session, slide.project_id, user):
        raise Forbidden(_("Only those who may sign the reports of this project can do this."))
    return slide


ViewableReport = Annotated[Report, Depends(viewable_report)]
SignableSlide = Annotated[Slide, Depends(signable_slide)]
