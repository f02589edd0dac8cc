"""The files of a report, for browsers and REST clients alike."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from fastapi import Response
from sqlalchemy.orm import Session

from app.csv_stream import harmless
from app.models import Report
from app.reports.outputs import coco, fhir, paper, table
from app.reports.outputs.printed import Printed, printed

Kind = Literal["pdf", "csv", "json", "fhir", "coco"]


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([[harmless(value) for value in row] for row in rows])
    return buffer.getvalue().encode()


def _whole(_session: Session, report: Printed) -> bytes:
    """Everything a report says, with its signatures."""
    signatures = [each.model_dump(mode="json") for each in report.signed]
    content = report.content.model_dump(mode="json", by_alias=True)
    return _json({"status": report.status, "sha256": report.sha256, "signatures": signatures, "content": content})


# Media type, ending of the name, and what makes the bytes.
FILES: Final[dict[str, tuple[str, str, Callable[[Session, Printed], bytes]]]] = {
    "pdf": ("application/pdf", "pdf", lambda _session, report: paper.pdf(report)),
    "csv": ("text/csv; charset=utf-8", "csv", lambda _session, report: _csv([table.HEADER, *table.rows(report)])),
    "json": ("application/json", "json", _whole),
    "fhir": (fhir.MEDIA_TYPE, "fhir.json", lambda _session, report: _json(fhir.bundle(report))),
    "coco": ("application/json", "coco.json", lambda session, report: _json(coco.document(session, report))),
}


def answer(session: Session, report: Report, kind: Kind) -> Response:
    """Answer with a version of a report as a file. Raises Conflict where there is nothing to report yet."""
    found = printed(session, report)
    media_type, ending, make = FILES[kind]
    headers = {
        "Content-Disposition": f'attachment; filename="{found.title}.{ending}"',
        "Cache-Control": "private, no-store",
    }
    return Response(make(session, found), media_type=media_type, headers=headers)
