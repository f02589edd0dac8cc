"""Reads of what scanners showed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np
import numpy.typing as npt
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Alarm, Cell, Classifier, ControlRun, Reading, Scanner, Slide, WatchedDay, WatchReference
from app.watching.charts import Chart, Figures, charts_of

FEWEST_CELLS = 20
"""Cells of a day below which nothing is said of it."""


def reference(session: Session, scanner: Scanner, classifier: Classifier | None) -> WatchReference | None:
    """Return what a scanner is compared with now; None if its classifier has not reported on anything yet."""
    mine = select(WatchReference).where(WatchReference.scanner_id == scanner.id)
    newest = session.scalar(mine.order_by(WatchReference.id.desc()).limit(1))
    return newest if newest and classifier and newest.classifier_id == classifier.id else None


def days(session: Session, reference: WatchReference) -> Sequence[WatchedDay]:
    """Return the days that are compared, oldest first."""
    query = select(WatchedDay).where(WatchedDay.reference_id == reference.id).order_by(WatchedDay.day)
    return session.scalars(query).all()


def judged(session: Session, reference: WatchReference) -> Sequence[WatchedDay]:
    """Return those of the days that have enough cells for a chart."""
    return [each for each in days(session, reference) if each.cells >= FEWEST_CELLS]


def charts(session: Session, reference: WatchReference, found: Sequence[WatchedDay]) -> dict[str, Chart]:
    """Return the control charts of days, by name; nothing of none."""
    if not found:
        return {}
    audited, right = _audits(session, reference)
    return charts_of(figures(found, [audited[each.day] for each in found], [right[each.day] for each in found]))


def figures(found: Sequence[WatchedDay], audited: Sequence[int], right: Sequence[int]) -> Figures:
    """Return the figures of days of one reference; of the `audited` cells of each, so many predictions were `right`."""
    return Figures(
        cells=_column(each.cells for each in found),
        rejected=_column(each.rejected for each in found),
        novelty=_column(each.novelty for each in found),
        novelty_variance=_column(each.novelty_variance for each in found),
        mix=np.array([[each.mix[code] for code in found[0].mix] for each in found], np.float64),
        residual=np.array([np.frombuffer(each.residual, np.float32) for each in found], np.float64),
        audited=_column(audited),
        right=_column(right),
    )


def _column(values: Iterable[float]) -> npt.NDArray[np.float64]:
    return np.fromiter(values, np.float64)


def _audits(session: Session, reference: WatchReference) -> tuple[Counter[date], Counter[date]]:
    """Count, by day of the slide, labels given without seeing the prediction, and those that agree with it."""
    query = select(Reading.cell_id, Reading.class_id, Reading.predicted_id, Slide.created_at)
    query = query.join(Cell, Cell.id == Reading.cell_id).join(Slide, Slide.id == Cell.slide_id)
    mine = (Slide.scanner_id == reference.scanner_id) & (Slide.created_at >= reference.since)
    mine &= Slide.id.not_in(select(ControlRun.slide_id))
    blind = (Reading.project_id == reference.project_id) & (Reading.kind == "blind")
    newest = {row.cell_id: row for row in session.execute(query.where(mine, blind).order_by(Reading.id))}
    given = [row for row in newest.values() if row.class_id is not None]
    right = [row for row in given if row.class_id == row.predicted_id]
    return Counter(row.created_at.date() for row in given), Counter(row.created_at.date() for row in right)


def alarms(session: Session, scanner: Scanner) -> Sequence[Alarm]:
    """Return the alarms of a scanner, open ones first, then the newest."""
    query = select(Alarm).where(Alarm.scanner_id == scanner.id)
    return session.scalars(query.order_by(Alarm.settled_at.is_not(None), Alarm.id.desc()).limit(100)).all()
