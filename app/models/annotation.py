"""Annotations."""

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime

SOURCES = ("label", "accepted", "reviewed", "kept", "review", "added", "removed", "undo", "redo", "import")
"""`accepted`: a prediction somebody saw and let stand; `reviewed`: let stand unseen, after a look at others like it;
`kept`: given again after others contradicted it; `review`: in the review of a slide's report; `added`, `removed`: the
box of the cell in its field was drawn or taken away by hand; `undo`, `redo`: a note that an action was taken back or
done again."""


class Annotation(Base):
    """Who gave which class to which cell, when, how. Append-only: a correction is a new row, no class takes it back.

    `before_id` is the annotation that was in force before. Undo puts that one in force again (app/annotations/undo.py),
    with who gave it and how, and adds a note with the class that the cell then has.
    """

    __tablename__ = "annotation"
    __table_args__ = (
        UniqueConstraint("cell_id", "action"),
        Index("ix_annotation_project_id", "project_id", "id"),
        Index("ix_annotation_action", "action", "id"),
        Index(
            "ix_annotation_timed",
            "project_id",
            "created_at",
            sqlite_where=text("seconds IS NOT NULL"),
            postgresql_where=text("seconds IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    cell_id: Mapped[int] = mapped_column(ForeignKey("cell.id"))
    class_id: Mapped[int | None] = mapped_column(ForeignKey("cell_class.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    source: Mapped[str]
    action: Mapped[str]  # one keystroke or click, which may label many cells; the client's uuid makes a repeat harmless
    # This cell's share of the seconds its action took; none where the project is not timed, and for imports.
    seconds: Mapped[float | None]
    before_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LabelAction(Base):
    """One act of a person, which may have labelled a million cells: what the list of recent actions shows.

    `counts` says how many cells got which class: {class id: count}, "0" for labels that were taken away.
    """

    __tablename__ = "label_action"
    __table_args__ = (
        UniqueConstraint("project_id", "action"),
        Index("ix_label_action_user_id", "user_id", "project_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    action: Mapped[str]
    source: Mapped[str]  # as of annotations, "second" for readings
    counts: Mapped[dict[str, int]] = mapped_column(JSON)
    undone: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
