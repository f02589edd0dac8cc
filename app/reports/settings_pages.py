"""The page on which managers set how a project counts and signs."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts.access import Manager
from app.db import SessionDep
from app.errors import Invalid
from app.forms import FormValues, fields, reasons_of
from app.language import stored
from app.models import Project, Reporting
from app.projects.access import ManagedProject, ViewableProject
from app.reports import settings
from app.reports.differential import Kind
from app.templating import render

BLANK_RULES = 2

router = APIRouter(tags=["reports"])


@router.get("/projects/{project_id}/reporting")
def show(request: Request, project: ViewableProject, session: SessionDep) -> Response:
    """Show how the project counts and signs; only managers can change it."""
    return _page(request, session, project)


@router.post("/projects/{project_id}/reporting")
def change(
    request: Request, project: ManagedProject, user: Manager, session: SessionDep, values: FormValues
) -> Response:
    """Set it."""
    try:
        settings.change(session, project, values, by=user)
    except Invalid as error:
        return _page(request, session, project, values, error)
    return RedirectResponse(f"/projects/{project.id}/reporting", 303)


def _page(
    request: Request,
    session: Session,
    project: Project,
    values: dict[str, Any] | None = None,
    error: Invalid | None = None,
) -> Response:
    reporting = settings.reporting_of(session, project)
    kinds = settings.kinds_of(session, project, reporting)
    values = values or fields(**_values(reporting, kinds))
    filled = [at for at in range(settings.MOST_RULES) if values[f"text-{at}"] or values[f"threshold-{at}"]]
    rules = min(max(filled, default=-1) + 1 + BLANK_RULES, settings.MOST_RULES)
    return render(
        request,
        "reports/settings.html",
        status=error.status if error else 200,
        active="settings",
        project=project,
        subjects=settings.subjects_of(kinds),
        rules=range(rules),
        values=values,
        errors=reasons_of(error),
    )


def _values(reporting: Reporting, kinds: Sequence[Kind]) -> dict[str, Any]:
    """Return the fields of the page as they are set."""
    found: dict[str, Any] = {
        "cells": str(reporting.cells),
        "within": f"{reporting.within:g}",
        "reject_percent": f"{100 * reporting.reject_below:g}",
        "signer": reporting.signer,
        "second_signature": reporting.second_signature,
    }
    found |= {f"counted-{kind.id}": "1" for kind in kinds if kind.counted}
    for subject, (low, high) in reporting.ranges.items():
        found |= {f"low-{subject}": f"{low:g}", f"high-{subject}": f"{high:g}"}
    found |= {f"loinc-{subject}": code for subject, code in reporting.loinc.items()}
    for at, rule in enumerate(reporting.rules):
        found |= {f"{name}-{at}": value for name, value in rule.items()}
        found |= {f"threshold-{at}": f"{rule['threshold']:g}", f"text-{at}": stored(rule["text"])}
    return found
