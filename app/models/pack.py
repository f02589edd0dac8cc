"""Lab packs: what one installation gives to another."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Pack(Base):
    """An archive that was made here ("export") or received ("import"), stored as `packs/<sha256>`.

    Made from the version `classifier_id` of `project_id`; received, `project_id` is the one it became. `found` is what
    the archive says of itself and what was checked (workers/packs.py), `problem` why it is refused.
    """

    __tablename__ = "pack"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    project_id: Mapped[int | None] = mapped_column(ForeignKey("project.id"), index=True)
    classifier_id: Mapped[int | None] = mapped_column(ForeignKey("classifier.id"))
    with_images: Mapped[bool]
    project_name: Mapped[str] = mapped_column(default="", server_default="")  # of what it shall become
    sha256: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    found: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    problem: Mapped[str] = mapped_column(default="", server_default="")
    created_by: Mapped[int] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
