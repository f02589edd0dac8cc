"""The map of a project: where its cells lie on a plane."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class CellMap(Base):
    """Places of cells by the embeddings of one encoder. Cells are only ever added; laying out anew makes another map.

    `artifact` is the storage key of a safetensors file: `cell_ids` (n,) and `places` (n, 2) within about -1 and 1. Its
    first `fitted` rows were laid out together, the others placed among them; a later file begins with all of an
    earlier one, so a browser fetches only what follows.
    """

    __tablename__ = "cell_map"
    __table_args__ = (Index("ix_cell_map_project_id", "project_id", "encoder_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoder.id"))
    artifact: Mapped[str]
    cells: Mapped[int]
    fitted: Mapped[int]
    seconds: Mapped[float]  # laying out and placing, when it was made
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
