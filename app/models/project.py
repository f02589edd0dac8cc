"""Projects, their members and their cell classes."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint, false, select, true
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base, UtcDateTime


class Project(Base):
    """A classification task. `next_encoder_id` is set while its images are embedded anew in the background.

    `audit_share` of the cells are labelled as an audit, half of them with the prediction hidden; `second_share` of the
    labelled ones are read blind until `readers` people have seen each. Shares are from 0 to 1.

    With `accession_key`, the fingerprint of the secret key it began with, the project is pseudonymous: of accessions
    and file names it keeps none (app.slides.pseudonyms). `keep_received` keeps files as they came beside the images
    made of them. After `retention_days` originals are deleted; pictures of cells stay if `retention_cells` says so.
    """

    __tablename__ = "project"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    synthetic: Mapped[bool] = mapped_column(default=False)  # its cells are generated, and every page says so
    timed: Mapped[bool] = mapped_column(default=True, server_default=true())  # whether decisions are timed
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoder.id"))
    next_encoder_id: Mapped[int | None] = mapped_column(ForeignKey("encoder.id"))
    accession_key: Mapped[str | None]
    keep_received: Mapped[bool] = mapped_column(default=False, server_default=false())
    retention_days: Mapped[int | None]
    retention_cells: Mapped[bool] = mapped_column(default=True, server_default=true())
    audit_share: Mapped[float] = mapped_column(default=0, server_default="0")
    second_share: Mapped[float] = mapped_column(default=0, server_default="0")
    readers: Mapped[int] = mapped_column(default=2, server_default="2")
    created_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Member(Base):
    """A person who works on a project; managers see every project without it."""

    __tablename__ = "member"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True, index=True)


class CellClass(Base):
    """A class cells can be given: code, ICSH name, hotkey, colour, optional parent."""

    __tablename__ = "cell_class"
    __table_args__ = (UniqueConstraint("project_id", "code"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    code: Mapped[str]
    name: Mapped[str]
    key: Mapped[str | None]  # one character
    color: Mapped[str]  # "#rrggbb"
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("cell_class.id"))
    position: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)  # raised at every change, for If-Match


def lock(session: Session, project_id: int) -> None:
    """Wait for the other writers of this project's cells and annotations, until this transaction ends.

    Ids are then committed in their order, so a reader that remembers the newest id it saw misses nothing. (SQLite has
    one writer at a time anyway.) Take it before a job is queued, never after: two locks, one order.
    """
    session.execute(select(Project.id).where(Project.id == project_id).with_for_update(key_share=True))
