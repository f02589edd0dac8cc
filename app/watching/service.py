"""When a scanner is compared with what, and what becomes of alarms."""

from datetime import datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import now
from app.errors import Conflict
from app.events import publish
from app.language import _
from app.models import Alarm, Classifier, Scanner, User, WatchedDay, WatchReference
from app.models.audit import record
from app.models.project import lock
from app.reports.service import reporting_classifier
from app.watching import queries
from app.watching.forms import NewReference, Settlement
from app.webhooks.service import announce


def begin(
    session: Session,
    scanner: Scanner,
    classifier: Classifier,
    since: datetime,
    reason: str = "",
    by: User | None = None,
) -> WatchReference:
    """Compare a scanner with what it shows from now on."""
    reference = WatchReference(
        project_id=scanner.project_id,
        scanner_id=scanner.id,
        classifier_id=classifier.id,
        since=since,
        reason=reason,
        created_by=by.id if by else None,
        created_at=now(),
    )
    session.add(reference)
    session.flush()
    return reference


def begin_anew(session: Session, scanner: Scanner, form: NewReference, by: User) -> None:
    """Set a new reference, from now on. Raises Conflict if no classifier reports for the scanner."""
    lock(session, scanner.project_id)
    classifier = reporting_classifier(session, scanner.id)
    if classifier is None:
        raise Conflict(_("No classifier has been activated for this scanner, so there is nothing to watch."))
    begin(session, scanner, classifier, now(), form.reason, by)
    about = {"scanner": scanner.name, "reason": form.reason}
    record(session, "watching.begun", by=by.id, project_id=scanner.project_id, **about)


def raise_alarms(session: Session, reference: WatchReference) -> None:
    """Raise an alarm for each chart whose newest day is out of limits, unless one of it is open, or was on that day."""
    days = queries.judged(session, reference)
    for name, chart in queries.charts(session, reference, days).items():
        known = np.flatnonzero(np.isfinite(chart.values))
        if len(known) and chart.out[known[-1]]:
            _raise(session, reference, days[known[-1]], name, chart.out[known[-1]])


def _raise(session: Session, reference: WatchReference, day: WatchedDay, chart: str, rule: str) -> None:
    mine = (Alarm.reference_id == reference.id) & (Alarm.chart == chart)
    if session.scalar(select(Alarm.id).where(mine, Alarm.settled_at.is_(None) | (Alarm.day == day.day)).limit(1)):
        return
    about = {"project_id": reference.project_id, "scanner_id": reference.scanner_id}
    alarm = Alarm(reference_id=reference.id, **about, day=day.day, chart=chart, rule=rule, created_at=now())
    session.add(alarm)
    session.flush()
    scanner = session.get_one(Scanner, reference.scanner_id)
    record(
        session, "alarm.raised", by=None, project_id=scanner.project_id, scanner=scanner.name, chart=chart, rule=rule
    )
    told = {"scanner_id": scanner.id, "alarm_id": alarm.id, "day": str(day.day), "chart": chart, "rule": rule}
    publish(session, scanner.project_id, "alarm", told)
    announce(session, scanner.project_id, "scanner.alarm", told)


def settle(session: Session, alarm: Alarm, form: Settlement, by: User) -> None:
    """Close an alarm with what was found or done. Raises Conflict if somebody did before."""
    lock(session, alarm.project_id)
    session.refresh(alarm)
    if alarm.settled_at is not None:
        raise Conflict(_("This alarm is settled already."))
    alarm.note, alarm.settled_by, alarm.settled_at = form.note, by.id, now()
    scanner = session.get_one(Scanner, alarm.scanner_id)
    record(
        session, "alarm.settled", by=by.id, project_id=alarm.project_id, scanner=scanner.name, chart=alarm.chart,
        reason=form.note,
    )  # fmt: skip
    publish(session, alarm.project_id, "alarm", {"scanner_id": scanner.id, "alarm_id": alarm.id})
