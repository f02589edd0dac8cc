"""Files of reports, for REST clients."""

from typing import Any, Final

from fastapi import Response

from app.db import SessionDep
from app.reports import queries
from app.reports.access import ViewableReport
from app.reports.outputs.files import FILES, Kind, answer
from app.rest import problems, rest_router
from app.slides.access import ViewableSlide

router = rest_router("reports")

MEDIA_TYPES: Final = sorted({media_type.partition(";")[0] for media_type, _, _ in FILES.values()})
DOCUMENTED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {each: {"schema": {"type": "string", "format": "binary"}} for each in MEDIA_TYPES},
    },
    **problems(409),
}


@router.get(
    "/slides/{slide_id}/report/{kind}", summary="Download a report", response_class=Response, responses=DOCUMENTED
)
def newest(slide: ViewableSlide, session: SessionDep, kind: Kind) -> Response:
    """Return the newest version of the report of a slide as PDF, CSV, JSON, FHIR R4 Bundle or COCO (cells of fields).

    What is not signed says so: `status` is `preliminary`, `unsigned` or `waiting`, in FHIR always `preliminary`.
    """
    return answer(session, queries.newest(session, slide), kind)


@router.get(
    "/reports/{report_id}/{kind}",
    summary="Download a version of a report",
    response_class=Response,
    responses=DOCUMENTED,
)
def version(report: ViewableReport, session: SessionDep, kind: Kind) -> Response:
    """Return a version of a report as a file; a signed one gives the same file for ever."""
    return answer(session, report, kind)
