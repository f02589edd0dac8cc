"""Who is asking: a person by the session cookie of the browser, a REST client by its bearer token."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from app.config import get_settings
from app.db import SessionDep, now, only_reads, transaction
from app.errors import Forbidden, NotSignedIn
from app.language import _, speak
from app.models import ApiToken, SignIn, User
from app.security import SAFE_METHODS, bearer_token, digest, session_id

REVIEWERS = ("reviewer", "manager")
NOTE_EVERY = timedelta(minutes=1)  # how exactly the last use of a session or token is known


@dataclass(frozen=True)
class Viewer:
    """What pages show of the person who looks at them. Unlike the row it outlives a rollback, as an error page must."""

    id: int
    name: str
    email: str
    role: str


def current_user(request: Request, session: SessionDep) -> User:
    """Return the person behind the request and put them into `request.state.user` for the pages. Raises NotSignedIn."""
    token = bearer_token(request)
    if token is None:
        user = _by_cookie(request, session)
        speak(user.language)
    else:
        user = _by_token(request, session, token)  # a program: what its Accept-Language asks for
    request.state.user = Viewer(user.id, user.name, user.email, user.role)
    return user


def _by_cookie(request: Request, session: Session) -> User:
    query = (
        select(SignIn).options(joinedload(SignIn.user)).where(SignIn.token_sha256 == digest(session_id(request) or ""))
    )
    sign_in = session.scalar(query)
    if sign_in is None or not sign_in.user.active or _has_ended(sign_in):
        raise NotSignedIn(_("You are not signed in, or your session has ended."))
    if _is_old(sign_in.last_seen_at):
        _note(session, sign_in, SignIn.last_seen_at.key)
    return sign_in.user


def _has_ended(sign_in: SignIn) -> bool:
    settings, moment = get_settings(), now()
    idle = moment - sign_in.last_seen_at > timedelta(minutes=settings.session_idle_minutes)
    return idle or moment - sign_in.created_at > timedelta(hours=settings.session_hours)


def _by_token(request: Request, session: Session, secret: str) -> User:
    query = select(ApiToken).options(joinedload(ApiToken.user)).where(ApiToken.token_sha256 == digest(secret))
    token = session.scalar(query)
    if token is None or token.revoked_at is not None or token.expires_at <= now() or not token.user.active:
        error = NotSignedIn(_("The token is unknown, revoked or has expired."))
        error.headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise error
    needed = "read" if request.method in SAFE_METHODS else "write"
    if needed not in token.scopes:
        raise Forbidden(_("This token may only read.") if needed == "write" else _("This token may not read."))
    if token.last_used_at is None or _is_old(token.last_used_at):
        _note(session, token, ApiToken.last_used_at.key)
    return token.user


def _is_old(moment: datetime) -> bool:
    return now() - moment > NOTE_EVERY


def _note(session: Session, row: SignIn | ApiToken, column: str) -> None:
    """Write the present time into a column. Who only reads does it in a short transaction of its own; who writes holds
    the write lock of SQLite already, so a second transaction would wait for it for ever."""
    statement = update(type(row)).where(type(row).id == row.id).values({column: now()})
    if not only_reads(session):
        session.execute(statement)
        return
    with transaction() as own:
        own.execute(statement)


def manager(user: Annotated[User, Depends(current_user)]) -> User:
    """Return the person behind the request if they are a manager. Raises NotSignedIn or Forbidden."""
    if user.role != "manager":
        raise Forbidden(_("Only managers can do this."))
    return user


def reviewer(user: Annotated[User, Depends(current_user)]) -> User:
    """Return the person behind the request if they may settle what others disagree on. Raises as `manager` does."""
    if user.role not in REVIEWERS:
        raise Forbidden(_("Only reviewers and managers can do this."))
    return user


def address_of(request: Request) -> str:
    """Return the network address a request comes from."""
    return request.client.host if request.client else ""


CurrentUser = Annotated[User, Depends(current_user)]
Manager = Annotated[User, Depends(manager)]
Reviewer = Annotated[User, Depends(reviewer)]
