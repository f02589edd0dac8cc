"""CSV answers that are sent while they are read, so that a million rows need no memory."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi.responses import StreamingResponse
from sqlalchemy import Row, Select
from sqlalchemy.orm import InstrumentedAttribute

from app.db import reading

ROWS = 1000  # per piece sent, and per read


def stream(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingResponse:
    """Answer with a CSV file of UTF-8 text, named after `title`."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-").lower() or "export"
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(_pieces(header, rows), media_type="text/csv; charset=utf-8", headers=headers)


def in_pages(query: Select[*tuple[Any, ...]], by: InstrumentedAttribute[int]) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield the rows of a query in the order of the id column `by`, which comes first in a row.

    Each page is read in a short transaction of its own. One that stays open as long as a slow receiver likes would keep
    a connection, and SQLite from ever shortening its log.
    """
    last = 0
    while True:
        with reading() as session:
            page = session.execute(query.where(by > last).order_by(by).limit(ROWS)).all()
        yield from page
        if len(page) < ROWS:
            return
        last = page[-1][0]


def _pieces(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for number, row in enumerate(rows, 1):
        writer.writerow([harmless(value) for value in row])
        if number % ROWS == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def harmless(value: Any) -> Any:
    """Keep a spreadsheet from running text that somebody uploaded as a formula (OWASP, CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
