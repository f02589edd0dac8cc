"""Taking readings back, and doing them again, together with the labels of the same action."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.annotations import undo
from app.annotations.service import Act, mark
from app.annotations.undo import Replayed
from app.models import Reading
from app.readings.service import store


def replay(session: Session, undone: str, act: Act) -> Replayed:
    """Take back what a person did at once, or do it again if `act.source` is "redo"; what was read since stays."""
    result = undo.replay(session, undone, act)
    mine = (Reading.project_id == act.project.id) & (Reading.user_id == act.by.id)
    changes = []
    for reading in session.scalars(select(Reading).where(mine, Reading.action == undone)).all():
        same = mine & (Reading.cell_id == reading.cell_id) & (Reading.kind == reading.kind)
        history = session.scalars(select(Reading).where(same).order_by(Reading.id)).all()
        before = next((each for each in reversed(history) if each.id < reading.id), None)
        left, wanted = (before, reading) if act.source == "redo" else (reading, before)
        if history[-1].class_id == (left.class_id if left else None):
            changes.append(_copy(reading, wanted))
    store(session, act.project, act.action, changes, act.by)
    if changes:
        mark(session, act, undone)
    result.saved += sum(change.kind == "second" for change in changes)  # audits go with a label, counted already
    return result


def _copy(reading: Reading, wanted: Reading | None) -> Reading:
    return Reading(
        kind=reading.kind,
        cell_id=reading.cell_id,
        class_id=wanted.class_id if wanted else None,
        predicted_id=wanted.predicted_id if wanted else None,
        annotation_id=(wanted or reading).annotation_id,
    )
