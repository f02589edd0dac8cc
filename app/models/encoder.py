"""Encoders and the embeddings they made."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Encoder(Base):
    """An SSL feature extractor, known by the sha256 of its file."""

    __tablename__ = "encoder"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    dim: Mapped[int]
    card: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def title(self) -> str:
        """Its name with the start of its sha256, which tells files of one name apart: "name (1a2b3c4d)"."""
        return f"{self.name} ({self.sha256[:8]})"


class Embedding(Base):
    """The vector of one image under one encoder: little-endian float16 bytes. No vector and an error: not readable."""

    __tablename__ = "embedding"
    __table_args__ = (UniqueConstraint("encoder_id", "image_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)  # grows, so that a reader finds what is new
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoder.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    vector: Mapped[bytes | None] = mapped_column(LargeBinary)
    error: Mapped[str | None]
