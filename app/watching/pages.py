"""The page on which a scanner is watched: control charts, alarms, what it is compared with."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.errors import Conflict, Invalid
from app.forms import FormValues, fields, parse, reasons_of, refusal
from app.language import N_, _
from app.models import Project, Scanner, Slide, User
from app.reports.service import reporting_classifier
from app.scanners.access import ManagedScanner, ViewableScanner
from app.templating import render
from app.watching import controls, drawing, queries, service
from app.watching.access import EditableAlarm
from app.watching.charts import REFERENCE_DAYS
from app.watching.forms import ChosenControl, NewReference, Settlement

CHARTS = {
    "rejected": N_("Unclassified cells"),
    "novelty": N_("Mean novelty"),
    "shift": N_("Shift of the embeddings"),
    "mix": N_("Class mix"),
    "accuracy": N_("Accuracy in the audit"),
}
RULES = {
    "sudden": N_("one day far from all before"),
    "slow": N_("a trend over several days"),
}
SHARES = ("rejected", "accuracy")

router = APIRouter(tags=["watching"])


def _page(
    request: Request,
    session: Session,
    scanner: Scanner,
    values: Mapping[str, Any],
    error: Invalid | Conflict | None = None,
) -> Response:
    classifier = reporting_classifier(session, scanner.id)
    reference = queries.reference(session, scanner, classifier)
    days = queries.judged(session, reference) if reference else []
    charts = queries.charts(session, reference, days) if reference else {}
    dates = [each.day for each in days]
    alarms = queries.alarms(session, scanner)
    people = {alarm.settled_by: session.get_one(User, alarm.settled_by).name for alarm in alarms if alarm.settled_by}
    return render(
        request,
        "watching/watching.html",
        status=error.status if error else 200,
        active="settings",
        project=session.get_one(Project, scanner.project_id),
        scanner=scanner,
        classifier=classifier,
        reference=reference,
        days=list(zip(days, *(chart.values for chart in charts.values()), strict=True))[::-1] if charts else [],
        charts=charts,
        drawings={name: drawing.draw(chart, dates) for name, chart in charts.items()},
        alarms=alarms,
        controls=controls.compared(session, scanner),
        choices=[(slide.id, slide.accession) for slide in controls.choices(session, scanner)],
        people=people,
        names=CHARTS,
        rules=RULES,
        shares=SHARES,
        reference_days=REFERENCE_DAYS,
        fewest=queries.FEWEST_CELLS,
        drawn=drawing,
        values=values,
        errors=reasons_of(error),
        refused=error.detail if isinstance(error, Conflict) else "",
    )


@router.get("/scanners/{scanner_id}/watching")
def index(request: Request, scanner: ViewableScanner, session: SessionDep) -> Response:
    """Show what the scanner did day by day."""
    return _page(request, session, scanner, fields())


@router.post("/scanners/{scanner_id}/watching")
def begin_anew(
    request: Request, scanner: ManagedScanner, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Compare with days from now on."""
    try:
        service.begin_anew(session, scanner, parse(NewReference, {"reason": values["reason"]}), user)
    except Invalid as error:
        return _page(request, session, scanner, values, error)
    return RedirectResponse(f"/scanners/{scanner.id}/watching", 303)


@router.post("/scanners/{scanner_id}/controls")
def begin_control(
    request: Request, scanner: ViewableScanner, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Make a further run of a slide, and go to its page, where its images are sent."""
    try:
        form = parse(ChosenControl, {name: values[name] for name in ("slide_id", "accession")})
        slide = session.get(Slide, form.slide_id)
        if slide is None or slide.scanner_id != scanner.id:
            raise refusal({"slide_id": _("This scanner has no such slide.")})
        again = controls.add(session, slide, form.accession, user)
    except (Invalid, Conflict) as error:
        return _page(request, session, scanner, values, error)
    return RedirectResponse(f"/projects/{scanner.project_id}/slides/{again.id}", 303)


@router.post("/alarms/{alarm_id}/settlement")
def settle(
    request: Request, alarm: EditableAlarm, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Close an alarm with what was found or done."""
    scanner = session.get_one(Scanner, alarm.scanner_id)
    try:
        service.settle(session, alarm, parse(Settlement, {"note": values["note"]}), user)
    except Invalid as error:
        return _page(request, session, scanner, fields(), error)
    return RedirectResponse(f"/scanners/{scanner.id}/watching", 303)
