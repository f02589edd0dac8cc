"""The pages on which a manager adapts a project to a new scanner: a page a step, left and come back to as one likes."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser, address_of
from app.accounts.service import confirm
from app.adaptations import drawing, paper, queries, service, steps
from app.adaptations.forms import FEWEST, MOST, NewAdaptation, SignedDecision
from app.db import SessionDep
from app.errors import Conflict, Invalid
from app.forms import FormValues, fields, parse, reasons_of
from app.models import Project, Scanner
from app.predictions.batches import Place, next_batch, where
from app.predictions.meter import TARGET
from app.pretraining.forms import NewRun
from app.scanners.access import ManagedScanner, ViewableScanner
from app.templating import render

router = APIRouter(tags=["adaptations"])


def _page(
    request: Request,
    session: Session,
    scanner: Scanner,
    step: str,
    values: Mapping[str, Any] | None = None,
    error: Invalid | Conflict | None = None,
) -> Response:
    adaptation = queries.find(session, scanner)
    standing = queries.standing(session, scanner)
    found = adaptation.comparison if adaptation else None
    before, after = steps.neighbours(step)
    return render(
        request,
        "adaptations/adaptation.html",
        block="step",
        status=error.status if error else 200,
        active="settings",
        project=session.get_one(Project, scanner.project_id),
        scanner=scanner,
        step=step,
        steps=steps.steps(adaptation, standing),
        titles=steps.TITLES,
        before=before,
        after=after,
        adaptation=adaptation,
        standing=standing,
        found=found,
        compared=found["comparison"] if found else None,
        gain=queries.last_gain(found),
        little=steps.LITTLE,
        curve=drawing.curve(found.get("history", []) if found else []),
        drawn=drawing,
        names=queries.names(),
        trained=queries.trained(session, scanner),
        run=NewRun.model_validate({}),
        adopted=queries.adopted(session, scanner),
        fewest=FEWEST,
        most=MOST,
        wanted=service.WANTED_CELLS,
        spot_check=steps.SPOT_CHECK,
        target=TARGET,
        values=values or fields(cells=NewAdaptation().cells),
        errors=reasons_of(error),
        refused=error.detail if isinstance(error, Conflict) else "",
    )


@router.get("/scanners/{scanner_id}/adaptation")
def index(scanner: ViewableScanner, session: SessionDep) -> RedirectResponse:
    """Go to the first step that is not done."""
    standing = queries.standing(session, scanner)
    return _to(scanner, steps.current(steps.steps(queries.find(session, scanner), standing)).name)


@router.get("/scanners/{scanner_id}/adaptation/report.pdf")
def report(scanner: ViewableScanner, session: SessionDep) -> Response:
    """Download the decision with all that it was made on, for the lab's files."""
    content = paper.pdf(session, scanner, queries.get(session, scanner))
    headers = {
        "Content-Disposition": f'attachment; filename="adaptation-{scanner.id}.pdf"',
        "Cache-Control": "private, no-store",
    }
    return Response(content, media_type="application/pdf", headers=headers)


@router.get("/scanners/{scanner_id}/adaptation/{step}")
def show(request: Request, scanner: ViewableScanner, step: str, session: SessionDep) -> Response:
    """Show a step; htmx asks for it again while something is under way."""
    return _page(request, session, scanner, steps.require(step))


@router.post("/scanners/{scanner_id}/adaptation")
def begin(
    request: Request, scanner: ManagedScanner, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Set validation cells aside."""
    try:
        service.begin(session, scanner, parse(NewAdaptation, values), user)
    except Invalid as error:
        return _page(request, session, scanner, "cells", values, error)
    return _to(scanner, "shift")


@router.post("/scanners/{scanner_id}/adaptation/comparisons")
def compare(scanner: ManagedScanner, user: CurrentUser, session: SessionDep, values: FormValues) -> RedirectResponse:
    """Compare by the present labels, and go back to the step that asked for it."""
    step = steps.require(str(values.get("step", "comparison")))
    service.compare(session, queries.get(session, scanner), user)
    return _to(scanner, step)


@router.post("/scanners/{scanner_id}/adaptation/decision")
def decide(
    request: Request, scanner: ManagedScanner, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Let a candidate report for the scanner, signed by the password of a manager."""
    try:
        form = parse(SignedDecision, values)
        confirm(user, form.password, address_of(request), field="password")
        service.decide(session, queries.get(session, scanner), form, user)
    except (Invalid, Conflict) as error:
        return _page(request, session, scanner, "decision", values, error)
    return _to(scanner, "decision")


@router.post("/scanners/{scanner_id}/adaptation/validation")
def validate(request: Request, scanner: ViewableScanner, user: CurrentUser, session: SessionDep) -> Response:
    """Open the next validation cells that have no label in the grid."""
    try:
        batch = service.validation_batch(session, queries.get(session, scanner), user)
    except Conflict as error:
        return _page(request, session, scanner, "spot-check", error=error)
    return RedirectResponse(where(batch, Place(scanner=scanner.id))["url"], 303)


@router.post("/scanners/{scanner_id}/adaptation/labels")
def label(request: Request, scanner: ViewableScanner, user: CurrentUser, session: SessionDep) -> Response:
    """Open the cells of the scanner that are worth a label most in the grid."""
    place = Place(scanner=scanner.id)
    try:
        batch = next_batch(session, session.get_one(Project, scanner.project_id), user, place)
    except Conflict as error:
        return _page(request, session, scanner, "labels", error=error)
    return RedirectResponse(where(batch, place)["url"], 303)


def _to(scanner: Scanner, step: str) -> RedirectResponse:
    return RedirectResponse(f"/scanners/{scanner.id}/adaptation/{step}", 303)
