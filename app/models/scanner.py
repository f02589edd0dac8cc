"""Scanners."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Scanner(Base):
    """One imaging domain: device, stain and objective."""

    __tablename__ = "scanner"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    name: Mapped[str]
    um_per_px: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
