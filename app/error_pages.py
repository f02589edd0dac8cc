"""Dresses errors: a page for a browser, RFC 9457 problem+json for REST clients and scripts."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import IntegrityError, OperationalError
from starlette.exceptions import HTTPException

from app.errors import AppError, Conflict, Invalid, NotSignedIn, StorageFull, Unavailable
from app.language import N_, _
from app.templating import render

DISK_FULL = ("database or disk is full", "No space left on device")  # SQLite, PostgreSQL

N_("Method not allowed")  # the title of 405 is Python's
WORDS = {  # Starlette's own say the title a second time
    404: N_("There is nothing at this address."),
    405: N_("Nothing at this address answers this kind of request."),
}

log = logging.getLogger(__name__)


def install_error_pages(app: FastAPI) -> None:
    """Answer every error as problem+json to REST clients and scripts, as a page to browsers."""
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(IntegrityError, _on_clash)
    app.add_exception_handler(OperationalError, _on_database_trouble)


def _on_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    return answer(request, error)


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer(request, _as_app_error(error.status_code, str(error.detail)), dict(error.headers or {}))


def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [
        {
            "field": _field(item),
            "reason": item["msg"],
        }
        for item in error.errors()
    ]
    detail = "; ".join(f"{field['field']}: {field['reason']}" for field in fields)
    return answer(request, Invalid(detail, errors=fields))


def _field(item: Mapping[str, Any]) -> str:
    place = [str(part) for part in item["loc"]]
    # Of JSON that cannot be read pydantic names the character, which is no field.
    return place[0] if item["type"] == "json_invalid" else ".".join(place[1:]) or place[0]


def _on_clash(request: Request, error: Exception) -> Response:
    """Two people made the same thing in the same instant; the database let only one of them."""
    log.warning("refused by a constraint: %s", error)
    return answer(
        request, Conflict(_("Somebody else made or changed the same thing just now. Look again, then repeat."))
    )


def _on_database_trouble(request: Request, error: Exception) -> Response:
    """The database is full, busy for too long, or gone; the transaction was rolled back."""
    log.error("the database failed: %s", error)
    if any(words in str(error) for words in DISK_FULL):
        return answer(request, StorageFull(_("The disk of the server is full. Nothing of this was saved.")))
    trouble = Unavailable(_("The database does not answer. Nothing of this was saved; please try again in a moment."))
    return answer(request, trouble, {"Retry-After": "5"})


def _as_app_error(status: int, detail: str) -> AppError:
    error = AppError(_(WORDS[status]) if status in WORDS else detail)
    error.status, error.title = status, HTTPStatus(status).phrase.capitalize()
    return error


def answer(request: Request, error: AppError, headers: Mapping[str, str] | None = None) -> Response:
    """Dress an error for whoever asked: a page when a browser navigates, RFC 9457 otherwise."""
    headers = {**error.headers, **(headers or {})}
    wants_page = "text/html" in request.headers.get("accept", "") and "HX-Request" not in request.headers
    if wants_page and not request.url.path.startswith("/api/"):
        if isinstance(error, NotSignedIn) and request.method == "GET":
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(here, safe='/')}", 303)
        return render(request, "error.html", status=error.status, error=error, extra_headers=headers)
    if isinstance(error, NotSignedIn):
        headers = {"WWW-Authenticate": "Bearer", **headers}  # RFC 9110 section 11.6.1: a 401 names the way in
    return JSONResponse(error.problem(), error.status, headers, media_type="application/problem+json")
