"""People, their sign-ins, their tokens and the one-time links that let them in."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, UtcDateTime
from app.language import N_

ROLES = (N_("technician"), N_("reviewer"), N_("manager"))


class User(Base):
    """A person. Roles: technician labels, reviewer also signs, manager also administers."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)  # lower case
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str]  # Argon2id
    active: Mapped[bool] = mapped_column(default=True)
    language: Mapped[str | None]  # a tag of app.language; None follows the browser
    keys: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)  # of commands, where not those by default
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignIn(Base):
    """A server-side session; only the sha256 of its id is kept, so a copy of the database lets nobody in."""

    __tablename__ = "sign_in"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    user: Mapped[User] = relationship(lazy="raise")


class ApiToken(Base):
    """A bearer token of a REST client; shown once, stored as sha256."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]  # the first characters, so that a person can tell tokens apart
    token_sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]] = mapped_column(JSON)  # "read", "write"
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    user: Mapped[User] = relationship(lazy="raise")


class Invitation(Base):
    """A one-time link to create an account, or to set a new password when it names a user."""

    __tablename__ = "invitation"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
