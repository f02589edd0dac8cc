"""Files of reports, for people."""

from fastapi import APIRouter, Response

from app.db import SessionDep
from app.reports import queries
from app.reports.access import ViewableReport
from app.reports.outputs.files import Kind, answer
from app.slides.access import ViewableSlide

router = APIRouter(tags=["reports"])


@router.get("/slides/{slide_id}/report/{kind}")
def newest(slide: ViewableSlide, session: SessionDep, kind: Kind) -> Response:
    """Download the newest version of a report."""
    return answer(session, queries.newest(session, slide), kind)


@router.get("/reports/{report_id}/{kind}")
def version(report: ViewableReport, session: SessionDep, kind: Kind) -> Response:
    """Download a version of a report."""
    return answer(session, report, kind)
