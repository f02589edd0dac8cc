"""Errors know their status; `app.error_pages` dresses them for a browser, a fragment or a REST client."""

from collections.abc import Mapping
from typing import Any

from app.language import N_, _


class AppError(Exception):
    """Something the person or client can understand and act on."""

    status = 500
    title = N_("Something went wrong")

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members  # extra members of the problem document, RFC 9457 section 3.2
        self.headers: Mapping[str, str] = {}

    def problem(self) -> dict[str, Any]:
        """Return the RFC 9457 document of this error."""
        return {
            "type": "about:blank",
            "title": _(self.title),
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }


class NotSignedIn(AppError):
    """Nobody is signed in, or the session or token has ended."""

    status = 401
    title = N_("Sign in first")


class Forbidden(AppError):
    """The person is known but may not do this."""

    status = 403
    title = N_("Not allowed")


class NotFound(AppError):
    """There is no such thing, or it is not this person's to see."""

    status = 404
    title = N_("Not found")


class Conflict(AppError):
    """The state of the record does not allow it."""

    status = 409
    title = N_("Conflict")


class Gone(AppError):
    """It was deleted on purpose, and stays so."""

    status = 410
    title = N_("Deleted")


class PreconditionFailed(AppError):
    """Somebody else changed the record since it was read (If-Match)."""

    status = 412
    title = N_("Changed meanwhile")


class TooLarge(AppError):
    """The request is larger than this installation accepts."""

    status = 413
    title = N_("Too large")


class Invalid(AppError):
    """A field holds something that is not accepted; the detail names it."""

    status = 422
    title = N_("Not accepted")


class Locked(AppError):
    """Another request is at work on it; the same request may work a little later."""

    status = 423
    title = N_("In use")


class TooManyRequests(AppError):
    """A limit on attempts was reached."""

    status = 429
    title = N_("Too many attempts")


class Unavailable(AppError):
    """Something the server needs does not answer; the same request may work a little later."""

    status = 503
    title = N_("Try again in a moment")


class StorageFull(AppError):
    """The disk has no room left."""

    status = 507
    title = N_("No space left")
