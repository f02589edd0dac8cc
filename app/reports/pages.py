"""Pages of the reports: the review of a slide, its signature, and versions that were signed."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app import events
from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.errors import AppError, Conflict, Invalid
from app.forms import FormValues, fields, parse, reasons_of
from app.models import Project, Report, Slide, User
from app.projects.queries import classes
from app.reports import queries, service
from app.reports.access import SignableSlide, ViewableReport, may_sign
from app.reports.forms import AmendForm, CorrectionForm, SignForm
from app.reports.galleries import galleries_of
from app.scanners.queries import alarms as alarms_of
from app.slides.access import ViewableSlide
from app.templating import render

router = APIRouter(tags=["reports"])


@router.get("/slides/{slide_id}/report")
def review(request: Request, slide: ViewableSlide, user: CurrentUser, session: SessionDep) -> Response:
    """Show the newest version of the report of a slide: open, to be reviewed and signed; scripts get what changes."""
    return _page(request, session, queries.newest(session, slide), user)


@router.get("/reports/{report_id}")
def version(request: Request, report: ViewableReport, user: CurrentUser, session: SessionDep) -> Response:
    """Show a version of a report at its own address; of an open one, the review."""
    if report.sha256 is None:
        return RedirectResponse(f"/slides/{report.slide_id}/report", 303)
    return _page(request, session, report, user)


def _page(
    request: Request,
    session: Session,
    report: Report,
    user: User,
    error: AppError | None = None,
    values: dict[str, Any] | None = None,
) -> Response:
    last_event = events.newest(session)  # before all else: what comes later is sent to the page
    project = session.get_one(Project, report.project_id)
    content = queries.report_of(session, report)
    signed = queries.signatures(session, report)
    versions = queries.versions(session, report.slide_id)
    known, slide = classes(session, project), session.get_one(Slide, report.slide_id)
    return render(
        request,
        "reports/report.html",
        block="report",
        status=error.status if error else 200,
        active="slides",
        last_event=last_event,
        project=project,
        slide=slide,
        alarm=slide.scanner_id in alarms_of(session, project.id),
        report=report,
        content=content,
        state=queries.state_of(report, signed),
        signed=signed,
        versions=versions,
        newest=not versions or report.version == versions[0].version,
        classes=known,
        galleries=galleries_of(content, [each.code for each in known]) if content else [],
        doubts=service.despite(content) if content and report.sha256 is None else [],
        seen=service.digest(content) if content and report.sha256 is None else "",
        may_sign=may_sign(session, project.id, user),
        has_signed=user.id in queries.signers(session, report),
        newer=service.newer_classifier(session, report),
        values=values or fields(),
        errors=reasons_of(error),
        problem=error.detail if isinstance(error, Conflict) else "",
    )


@router.post("/slides/{slide_id}/report/corrections")
def correct(slide: ViewableSlide, form: CorrectionForm, user: CurrentUser, session: SessionDep) -> dict[str, Any]:
    """Save other classes for some cells."""
    return {"saved": service.correct(session, slide, form, user).saved}


@router.post("/slides/{slide_id}/report/signature")
def sign(
    request: Request, slide: SignableSlide, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Sign the open version, or for the second time the one that waits for it."""
    try:
        if values["second"]:
            service.countersign(session, slide, user)
        else:
            service.sign(session, slide, parse(SignForm, values), user)
    except (Invalid, Conflict) as error:
        return _page(request, session, queries.newest(session, slide), user, error, values)
    return RedirectResponse(_address(slide), 303)


@router.post("/slides/{slide_id}/report/amendment")
def amend(
    request: Request, slide: SignableSlide, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Open a further version of a signed report."""
    try:
        service.amend(session, slide, parse(AmendForm, values).reason, user)
    except (Invalid, Conflict) as error:
        return _page(request, session, queries.newest(session, slide), user, error, values)
    return RedirectResponse(_address(slide), 303)


@router.post("/slides/{slide_id}/report/classification")
def classify_again(slide: SignableSlide, user: CurrentUser, session: SessionDep) -> Response:
    """Take new predictions for the open version."""
    service.classify_again(session, slide, user)
    return RedirectResponse(_address(slide), 303)


def _address(slide: Slide) -> str:
    return f"/slides/{slide.id}/report"
