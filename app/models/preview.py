"""What would change if another classifier reported for a scanner."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class ActivationPreview(Base):
    """The newest slides of a scanner as a classifier would report on them; `found` is what workers/previews.py wrote.

    None while it is being made.
    """

    __tablename__ = "activation_preview"
    __table_args__ = (UniqueConstraint("classifier_id", "scanner_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifier.id"))
    scanner_id: Mapped[int] = mapped_column(ForeignKey("scanner.id"))
    found: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
