"""Mappings of the classes of a project onto another scheme."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class ClassMapping(Base):
    """A version of a mapping; a change is a new row, so that figures computed under an old one can be read again.

    `rows` are the classes as they were when it was saved: [{class_id, code, name, target}], the target a class of the
    other scheme, "" for those that have no counterpart there.
    """

    __tablename__ = "class_mapping"
    __table_args__ = (UniqueConstraint("project_id", "name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    name: Mapped[str]
    version: Mapped[int]
    rows: Mapped[list[Any]] = mapped_column(JSON)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
