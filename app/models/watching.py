"""What scanners showed day by day, what they are compared with, and where they left it."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Date, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class WatchReference(Base):
    """From when on a scanner is compared with itself, as its reporting classifier sees it.

    Counted are slides that were created `since` then and that `classifier_id` has reported on. The next begins when
    another classifier reports on a slide, or when a manager says so and why.
    """

    __tablename__ = "watch_reference"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    scanner_id: Mapped[int] = mapped_column(ForeignKey("scanner.id"), index=True)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifier.id"))
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str] = mapped_column(default="", server_default="")
    created_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WatchedDay(Base):
    """What a classifier made of the slides that were created on a day (UTC); rewritten as long as more come.

    `rejected` counts cells that are unclassified, `mix` predictions by class code; `novelty` is the mean of all cells,
    `residual` the mean deviation (d,) of a cell from the mean of its predicted class, float32, where the cells of one
    class scatter by 1.
    """

    __tablename__ = "watched_day"
    __table_args__ = (UniqueConstraint("reference_id", "day"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    reference_id: Mapped[int] = mapped_column(ForeignKey("watch_reference.id"))
    day: Mapped[date] = mapped_column(Date)
    slides: Mapped[int]
    cells: Mapped[int]
    rejected: Mapped[int]
    novelty: Mapped[float]
    novelty_variance: Mapped[float]
    mix: Mapped[dict[str, Any]] = mapped_column(JSON)
    residual: Mapped[bytes] = mapped_column(LargeBinary)


class Alarm(Base):
    """That a chart of a scanner left its limits on a day; open until a person says what was done."""

    __tablename__ = "alarm"
    __table_args__ = (
        UniqueConstraint("reference_id", "day", "chart"),
        Index(
            "ix_alarm_open",
            "project_id",
            sqlite_where=text("settled_at IS NULL"),
            postgresql_where=text("settled_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    scanner_id: Mapped[int] = mapped_column(ForeignKey("scanner.id"), index=True)
    reference_id: Mapped[int] = mapped_column(ForeignKey("watch_reference.id"))
    day: Mapped[date] = mapped_column(Date)
    chart: Mapped[str]  # of app.watching.charts: "rejected", "novelty", "shift", "mix", "accuracy"
    rule: Mapped[str]  # "sudden", "slow"
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    note: Mapped[str] = mapped_column(default="", server_default="")
    settled_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ControlRun(Base):
    """That a slide shows the same smear as another one, scanned again to see whether it is still seen the same way.

    Such a slide is no patient, so its cells are in no figure of a day.
    """

    __tablename__ = "control_run"

    slide_id: Mapped[int] = mapped_column(ForeignKey("slide.id"), primary_key=True)
    repeats_id: Mapped[int] = mapped_column(ForeignKey("slide.id"))
    scanner_id: Mapped[int] = mapped_column(ForeignKey("scanner.id"), index=True)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
