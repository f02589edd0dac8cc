"""The page on which a manager sees how a scanner differs, how well it is served, and what would serve it better."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser, address_of
from app.accounts.service import confirm
from app.adaptations import paper, queries, service
from app.adaptations.forms import FEWEST, MOST, NewAdaptation, SignedDecision
from app.db import SessionDep
from app.errors import Conflict, Invalid
from app.forms import FormValues, fields, parse, reasons_of
from app.models import Project, Scanner
from app.predictions.batches import where
from app.predictions.meter import TARGET
from app.scanners.access import ManagedScanner, ViewableScanner
from app.templating import render

LITTLE = 0.01  # of balanced accuracy, for which more labels are not worth while

router = APIRouter(tags=["adaptations"])


def _page(
    request: Request,
    session: Session,
    scanner: Scanner,
    values: Mapping[str, Any],
    error: Invalid | Conflict | None = None,
) -> Response:
    adaptation = queries.find(session, scanner)
    found = adaptation.comparison if adaptation else None
    compared = found["comparison"] if found else None
    return render(
        request,
        "adaptations/adaptation.html",
        block="comparison",
        status=error.status if error else 200,
        active="settings",
        project=session.get_one(Project, scanner.project_id),
        scanner=scanner,
        adaptation=adaptation,
        standing=queries.standing(session, scanner),
        found=found,
        compared=compared,
        gain=queries.last_gain(found),
        little=LITTLE,
        names=queries.names(),
        adopted=queries.adopted(session, scanner),
        fewest=FEWEST,
        most=MOST,
        wanted=service.WANTED_CELLS,
        target=TARGET,
        values=values,
        errors=reasons_of(error),
        refused=error.detail if isinstance(error, Conflict) else "",
    )


@router.get("/scanners/{scanner_id}/adaptation")
def index(request: Request, scanner: ViewableScanner, session: SessionDep) -> Response:
    """Show the steps and where they stand; htmx asks for the comparison again while one is under way."""
    return _page(request, session, scanner, fields(cells=NewAdaptation().cells))


@router.post("/scanners/{scanner_id}/adaptation")
def begin(
    request: Request, scanner: ManagedScanner, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Set validation cells aside."""
    try:
        service.begin(session, scanner, parse(NewAdaptation, values), user)
    except Invalid as error:
        return _page(request, session, scanner, values, error)
    return _back(scanner)


@router.post("/scanners/{scanner_id}/adaptation/comparisons")
def compare(scanner: ManagedScanner, user: CurrentUser, session: SessionDep) -> RedirectResponse:
    """Compare by the present labels."""
    service.compare(session, queries.get(session, scanner), user)
    return _back(scanner)


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
        return _page(request, session, scanner, values, error)
    return _back(scanner)


@router.get("/scanners/{scanner_id}/adaptation/report.pdf")
def report(scanner: ViewableScanner, session: SessionDep) -> Response:
    """Download the decision with all that it was made on, for the lab's files."""
    content = paper.pdf(session, scanner, queries.get(session, scanner))
    headers = {
        "Content-Disposition": f'attachment; filename="adaptation-{scanner.id}.pdf"',
        "Cache-Control": "private, no-store",
    }
    return Response(content, media_type="application/pdf", headers=headers)


@router.post("/scanners/{scanner_id}/adaptation/validation")
def validate(scanner: ViewableScanner, user: CurrentUser, session: SessionDep) -> RedirectResponse:
    """Open the validation cells that have no label in the grid."""
    batch = service.validation_batch(session, queries.get(session, scanner), user)
    return RedirectResponse(where(batch)["url"], 303)


def _back(scanner: Scanner) -> RedirectResponse:
    return RedirectResponse(f"/scanners/{scanner.id}/adaptation", 303)
