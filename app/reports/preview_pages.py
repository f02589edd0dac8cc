"""The page that says what would change if another classifier reported for a scanner."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import job_queries
from app.classifiers.access import ManagedClassifier
from app.db import SessionDep
from app.forms import Id
from app.jobs import preview_key
from app.models import Project, Report, Slide
from app.reports import previews
from app.scanners.access import ManagedScanner
from app.slides.service import scanner_of
from app.templating import render

router = APIRouter(tags=["classifiers"])


@router.get("/classifiers/{classifier_id}/previews/{scanner_id}")
def index(request: Request, classifier: ManagedClassifier, scanner: ManagedScanner, session: SessionDep) -> Response:
    """Show what would change, with the form that activates; htmx asks again while it is being made."""
    preview = previews.get(session, classifier, scanner)
    return render(
        request,
        "classifiers/preview.html",
        block="preview",
        active="classifiers",
        project=session.get_one(Project, classifier.project_id),
        version=classifier,
        scanner=scanner,
        found=preview.found,
        job=job_queries.newest(session, preview_key(preview.id)),
        signed=_signed(session, preview.found),
    )


def _signed(session: Session, found: dict[str, Any] | None) -> list[tuple[dict[str, Any], str]]:
    """Return the signed reports that would differ, each with the accession of its slide."""
    differ = found["signed_otherwise"] if found else []
    query = select(Report.id, Slide.accession).join(Slide, Slide.id == Report.slide_id)
    names = dict(session.execute(query.where(Report.id.in_([each["report_id"] for each in differ]))).all())
    return [(each, names[each["report_id"]]) for each in differ if each["report_id"] in names]


@router.post("/classifiers/{classifier_id}/previews")
def ask(classifier: ManagedClassifier, session: SessionDep, scanner_id: Annotated[Id, Form()]) -> RedirectResponse:
    """Have it made."""
    scanner = scanner_of(session, session.get_one(Project, classifier.project_id), scanner_id)
    previews.ask(session, classifier, scanner)
    return RedirectResponse(f"/classifiers/{classifier.id}/previews/{scanner.id}", 303)
