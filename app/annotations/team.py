"""What the timed decisions of a project add up to: by person and day, and by slide. docs/team.md says what counts."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Integer, Select, case, cast, extract, func, literal, select, union_all
from sqlalchemy.orm import Session, aliased

from app.db import now
from app.models import Annotation, Cell, Reading, Slide

DAYS = 14
GIVEN = ("label", "accepted", "kept")  # sources of annotations that are labels somebody gave to cells they saw
EPOCH = date(1970, 1, 1)
DAY_SECONDS = 86_400
UNIT = 0.1  # seconds; times of decisions are told apart so finely


@dataclass
class Work:
    """What one person, or all, did on a day. `lengths` counts decisions by their length in units of UNIT."""

    labels: int = 0
    unseen: int = 0
    seconds: float = 0
    lengths: Counter[int] = field(default_factory=Counter)
    slides: list[float] = field(default_factory=list)  # seconds spent on each slide finished

    @property
    def per_hour(self) -> float | None:
        """Labels per hour of active time."""
        return 3600 * self.labels / self.seconds if self.seconds else None

    @property
    def median(self) -> float | None:
        """Seconds that half of the decisions took at most."""
        if not self.lengths:
            return None
        lengths = sorted(self.lengths)
        up_to = np.cumsum([self.lengths[length] for length in lengths])
        return lengths[int(np.searchsorted(up_to, up_to[-1] / 2))] * UNIT

    @property
    def slide_seconds(self) -> float | None:
        """Mean seconds per slide finished."""
        return float(np.mean(self.slides)) if self.slides else None


def total(works: Iterable[Work]) -> Work:
    """Add up the work of several people on a day."""
    result = Work()
    for work in works:
        result.labels += work.labels
        result.unseen += work.unseen
        result.seconds += work.seconds
        result.lengths += work.lengths
        result.slides += work.slides
    return result


@dataclass(frozen=True)
class Period:
    """DAYS days of the server's clock, the last one included."""

    last: date

    @property
    def first(self) -> date:
        """The first of the days."""
        return self.last - timedelta(days=DAYS - 1)

    @property
    def start(self) -> datetime:
        """When the first day begins."""
        return _midnight(self.first)

    @property
    def end(self) -> datetime:
        """When the last day is over."""
        return _midnight(self.last + timedelta(days=1))

    def day(self, moment: Any) -> Any:
        """Return the SQL for the number of days from EPOCH to a moment."""
        offset = self.end.utcoffset() or timedelta()
        seconds = cast(extract("epoch", moment), BigInteger) + int(offset.total_seconds())
        return seconds // DAY_SECONDS


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=now().astimezone().tzinfo)


def work(session: Session, project_id: int, period: Period) -> dict[date, dict[int, Work]]:
    """Return what each person did on each day of a period on which anything was timed."""
    found: dict[date, dict[int, Work]] = defaultdict(lambda: defaultdict(Work))
    for row in session.execute(_lengths(project_id, period)):
        mine = found[EPOCH + timedelta(days=row.day)][row.user_id]
        mine.labels += row.labels
        mine.unseen += row.unseen
        mine.seconds += row.seconds
        mine.lengths[row.length] += row.decisions
    for row in session.execute(_finished(project_id, period)):
        found[EPOCH + timedelta(days=row.day)][row.user_id].slides.append(row.seconds)
    return found


def earlier(session: Session, project_id: int, period: Period) -> bool:
    """Say whether anything was timed before a period."""
    before = (Annotation.project_id == project_id) & Annotation.seconds.is_not(None)
    return (
        session.scalar(select(Annotation.id).where(before, Annotation.created_at < period.start).limit(1)) is not None
    )


def _lengths(project_id: int, period: Period) -> Select[Any]:
    """Select by person, day and length: decisions, their seconds, labels and labels of cells accepted unseen."""
    given = Annotation.source.in_(GIVEN) & Annotation.class_id.is_not(None)
    annotations = select(
        Annotation.user_id, Annotation.action, Annotation.created_at, Annotation.seconds,
        case((given, 1), else_=0).label("labels"), case((Annotation.source == "reviewed", 1), else_=0).label("unseen"),
    )  # fmt: skip
    readings = select(
        Reading.user_id, Reading.action, Reading.created_at, Reading.seconds,
        case((Reading.class_id.is_not(None), 1), else_=0), literal(0),
    )  # fmt: skip
    rows = union_all(
        *(
            query.where(
                table.project_id == project_id, table.seconds.is_not(None), table.user_id.is_not(None),
                table.created_at >= period.start, table.created_at < period.end,
            )
            for query, table in ((annotations, Annotation), (readings.where(Reading.kind == "second"), Reading))
        )
    ).subquery()  # fmt: skip
    decisions = (
        select(
            rows.c.user_id, period.day(func.min(rows.c.created_at)).label("day"),
            func.sum(rows.c.seconds).label("seconds"), func.sum(rows.c.labels).label("labels"),
            func.sum(rows.c.unseen).label("unseen"),
        ).group_by(rows.c.user_id, rows.c.action)
    ).subquery()  # fmt: skip
    length = cast(func.round(decisions.c.seconds / UNIT), Integer).label("length")
    return select(
        decisions.c.user_id, decisions.c.day, length, func.count().label("decisions"),
        func.sum(decisions.c.seconds).label("seconds"), func.sum(decisions.c.labels).label("labels"),
        func.sum(decisions.c.unseen).label("unseen"),
    ).group_by(decisions.c.user_id, decisions.c.day, length)  # fmt: skip


def _finished(project_id: int, period: Period) -> Select[Any]:
    """Select the slides finished: who gave the last label and on which day, and the seconds of all people on them.

    A slide counts when all its cells carry a label and each of these labels was timed.
    """
    timed = Annotation.seconds.is_not(None)
    touched = (
        select(Cell.slide_id)
        .join(Annotation, Annotation.cell_id == Cell.id)
        .where(Annotation.project_id == project_id, timed)
        .where(Annotation.created_at >= period.start, Annotation.created_at < period.end)
        .distinct()
    )
    left = select(Cell.id).where(Cell.slide_id == Slide.id, Cell.class_id.is_(None)).exists()
    untimed = (Cell.annotation_id == Annotation.id) & Annotation.seconds.is_(None)
    slides = (
        select(func.sum(Annotation.seconds).label("seconds"), func.max(Cell.annotation_id).label("last"))
        .join(Annotation, Annotation.cell_id == Cell.id)
        .where(Cell.slide_id.in_(select(Slide.id).where(Slide.id.in_(touched), ~left)))
        .group_by(Cell.slide_id)
        .having(func.sum(case((untimed, 1), else_=0)) == 0)
    ).subquery()
    last = aliased(Annotation)
    day = period.day(last.created_at).label("day")
    query = select(last.user_id, day, slides.c.seconds).join(slides, slides.c.last == last.id)
    return query.where(last.created_at >= period.start, last.created_at < period.end)
