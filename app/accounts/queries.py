"""What the accounts pages read."""

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload

from app.db import now
from app.models import ApiToken, Invitation, User
from app.security import digest


def by_email(session: Session, email: str) -> User | None:
    """Return the person with this e-mail address, in whatever case it is written."""
    if not email.isprintable():  # PostgreSQL refuses to look for a NUL
        return None
    return session.scalar(select(User).where(User.email == email.strip().lower()))


def people(session: Session) -> Sequence[User]:
    """Return everybody, active people first."""
    return session.scalars(select(User).order_by(User.active.desc(), User.name)).all()


def active_managers(session: Session, *, lock: bool = False) -> int:
    """Return how many people can administer the installation; `lock` lets nobody change that meanwhile."""
    query = select(User.id).where(User.role == "manager", User.active)
    return len(session.scalars(query.with_for_update() if lock else query).all())


def open_invitation(session: Session, token: str) -> Invitation | None:
    """Return the invitation of a link that still works."""
    return session.scalar(_open().where(Invitation.token_sha256 == digest(token)))


def open_invitations(session: Session) -> Sequence[Invitation]:
    """Return the invitations that still work, newest first."""
    return session.scalars(_open().order_by(Invitation.id.desc())).all()


def _open() -> Select[Invitation]:
    return select(Invitation).where(Invitation.used_at.is_(None), Invitation.expires_at > now())


def tokens(session: Session, user: User | None = None) -> Sequence[ApiToken]:
    """Return the usable API tokens of a person, or of everybody, with their owners; newest first."""
    query = select(ApiToken).options(joinedload(ApiToken.user)).order_by(ApiToken.id.desc())
    query = query.where(ApiToken.revoked_at.is_(None), ApiToken.expires_at > now())
    return session.scalars(query.where(ApiToken.user_id == user.id) if user else query).all()
