"""What every request passes: body limits, security headers, protection against cross-site requests.

One cookie holds the id of a visit; before sign-in it stands for nobody and only binds the sign-in form. The CSRF token
is an HMAC under that id, so whoever cannot read the cookie cannot make the token, and no server secret is needed.
"""

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select
from starlette.datastructures import MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import get_settings
from app.db import reading
from app.error_pages import answer
from app.errors import AppError, Forbidden, NotSignedIn, TooLarge
from app.language import _
from app.models import SignIn

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MEGABYTE = 1024 * 1024
SMALL_BODY_MB = 8  # forms and JSON are held in memory
# Paths whose bodies are streamed to disk, and may be large. A body of JSON is read into memory before anybody is asked
# who they are, so no other path may match.
UPLOADS = re.compile(r"(/api/v1)?/(slides/\d+/images|uploads/\d+/files|uploads/\d+)|/packs")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "object-src 'none'",
    "x-content-type-options": "nosniff",
    # Not "no-referrer": browsers would then send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Add the middleware, the CSRF check of every route and the page of an unexpected error."""
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    app.router.dependencies.append(Depends(refuse_forgery))
    app.add_exception_handler(Exception, _on_unexpected_error)


def _on_unexpected_error(request: Request, _error: Exception) -> Response:
    # This answer is sent outside of all middleware, so it brings the headers itself. The server logs the traceback.
    error = AppError(
        _("The server could not do this. The error was logged; please try again or tell your administrator.")
    )
    return answer(request, error, {**HEADERS, "Cache-Control": "no-store"})


class SecurityHeaders:
    """Put the security headers on every answer; forbid storing it unless the route allows that."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; streamed answers stay streamed."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", _caching(scope["path"], message["status"]))
                if scope["scheme"] == "https":
                    headers.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _caching(path: str, status: int) -> str:
    if status >= 400 or not path.startswith("/static/"):
        return "no-store"
    # Vendored files carry their version in the name; ours are asked for again, and mostly answered by 304.
    return "public, max-age=31536000, immutable" if path.startswith("/static/vendor/") else "public, no-cache"


class BodyLimit:
    """Refuse bodies that are too large, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 at once when the announced length is too large, else count what arrives."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        megabytes = get_settings().max_upload_mb if UPLOADS.fullmatch(scope["path"]) else SMALL_BODY_MB
        request = Request(scope)
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > megabytes * MEGABYTE:
            error = TooLarge(
                _("This request is larger than the %(megabytes)s MB that are accepted here.", megabytes=megabytes)
            )
            await answer(request, error)(scope, receive, send)
            return
        await RequestBodyLimitMiddleware(self.app, megabytes * MEGABYTE)(scope, receive, send)


def new_secret() -> str:
    """Return 256 random bits as text, for session ids, links and tokens."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return what the database keeps of a secret made by `new_secret`: its sha256."""
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf_token(session_id: str) -> str:
    """Return the token that forms and scripts of this visit must send along."""
    return hmac.new(session_id.encode(), b"csrf", hashlib.sha256).hexdigest()


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https" or get_settings().public_url.startswith("https:")


def _cookie_name(request: Request) -> str:
    return "__Host-fiftycells" if _is_https(request) else "fiftycells"


def session_id(request: Request) -> str | None:
    """Return the id in the cookie of this visit; it need not be anybody's."""
    return request.cookies.get(_cookie_name(request)) or None


def set_session_cookie(request: Request, response: Response, new_id: str) -> None:
    """Give the browser a session id; the cookie ends with the browser, the session earlier."""
    response.set_cookie(
        _cookie_name(request), new_id, path="/", secure=_is_https(request), httponly=True, samesite="lax"
    )


def clear_session_cookie(request: Request, response: Response) -> None:
    """Make the browser forget its session id."""
    response.delete_cookie(_cookie_name(request), path="/", secure=_is_https(request), httponly=True, samesite="lax")


def bearer_token(request: Request) -> str | None:
    """Return the token of a REST client; a cookie sent along with it counts for nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    is_bearer = scheme.lower() == "bearer" and request.url.path.startswith("/api/")
    return token.strip() if is_bearer else None


async def refuse_forgery(request: Request) -> AsyncIterator[None]:
    """Refuse a changing request that carries our cookie unless one of our own pages made it. Raises Forbidden."""
    cookie = session_id(request)
    request.state.csrf_token = csrf_token(cookie) if cookie else ""
    try:
        if cookie and request.method not in SAFE_METHODS and bearer_token(request) is None:
            await _check_origin_and_token(request)
        yield
    finally:
        await request.close()  # the files of a form that was read


async def _check_origin_and_token(request: Request) -> None:
    if not _same_origin(request):
        log.warning("refused a request to %s made by another site", request.url.path)
        raise Forbidden(_("This request was made by another site, so it was refused."))
    if not hmac.compare_digest((await _sent_token(request)).encode(), request.state.csrf_token.encode()):
        raise Forbidden(
            _("This page is out of date, perhaps after signing in again. Reload it and repeat the last step.")
        )


def _same_origin(request: Request) -> bool:
    """Believe Sec-Fetch-Site; browsers leave it out on plain http, so there Origin must be our own address."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    ours = {request.headers.get("host"), urlsplit(get_settings().public_url).netloc}
    return urlsplit(request.headers.get("origin", "")).netloc in ours - {"", None}


async def _sent_token(request: Request) -> str:
    header = request.headers.get("x-csrf-token")
    is_form = "form" in request.headers.get("content-type", "")  # urlencoded or multipart
    is_upload = UPLOADS.fullmatch(request.url.path)
    if not is_form or (is_upload and header is not None):
        return header or ""
    if is_upload:
        # Anybody can make a cookie and its token up; only who is signed in may make us read a large form.
        await run_in_threadpool(_require_session, session_id(request) or "")
    # Read now even if the header makes it needless: later, the transaction of the request is open, and a slow sender
    # would keep everybody else from writing.
    form = await request.form()
    return header if header is not None else str(form.get("csrf_token", ""))


def _require_session(cookie: str) -> None:
    with reading() as session:
        if session.scalar(select(SignIn.id).where(SignIn.token_sha256 == digest(cookie))) is None:
            raise NotSignedIn(_("You are not signed in, or your session has ended."))


def require_visit(request: Request) -> None:
    """For forms of people who are not signed in: the page with the form has set a cookie. Raises Forbidden."""
    if session_id(request) is None:
        raise Forbidden(
            _("Your browser did not send the cookie of this form. Allow cookies, reload the page, try again.")
        )
