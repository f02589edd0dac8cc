"""Answers already given to REST clients."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class IdempotencyKey(Base):
    """The answer to a POST that carried an Idempotency-Key; a repeat of the request gets it again."""

    __tablename__ = "idempotency_key"
    __table_args__ = (UniqueConstraint("user_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    key: Mapped[str]  # keyed hash of it (app.secret): clients choose names that say more than they should
    request_sha256: Mapped[str]  # of method, path and body, keyed as well
    status: Mapped[int | None]  # empty while the first request is still being answered
    location: Mapped[str | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
