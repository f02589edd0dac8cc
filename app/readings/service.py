"""Labels as readings: what of an act of labelling is a second reading, what belongs to the audit."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.annotations import service as annotations
from app.annotations import sight
from app.annotations.forms import LabelForm, LabelItem
from app.annotations.queries import disputed
from app.annotations.service import Act, Labelled, remember
from app.cells.index import Columns, columns_of
from app.cells.sampling import scattered
from app.db import now
from app.errors import Conflict, Invalid
from app.language import N_, _
from app.models import Batch, Cell, Project, Reading, User
from app.models.audit import record
from app.models.project import lock
from app.models.reading import AUDITS
from app.predictions.batches import SIZE, find_batch, serve, served
from app.predictions.scores import NO_CLASS, newest_scores
from app.projects.queries import classes
from app.readings.forms import QualityForm

Mask = npt.NDArray[np.bool_]


def label(session: Session, project: Project, form: LabelForm, by: User) -> Labelled:
    """Save one act of labelling; what the person was to read blind is saved as their reading and changes no label.

    Raises NotFound for a cell, Invalid for a class that is not of this project, and for a cell that is not of the
    batch for second reading it is said to be read in.
    """
    if not (project.audit_share or project.second_share or form.batch):
        return annotations.label(session, project, form.items, action=form.action, source=form.source, by=by)
    lock(session, project.id)
    columns = columns_of(session, project.id)
    rows = columns.places([item.cell_id for item in form.items])
    to_read = _to_read(session, project, columns, rows, form, by)
    read = [item for item, second in zip(form.items, to_read, strict=True) if second]
    labels = [item for item, second in zip(form.items, to_read, strict=True) if not second]
    audits = _audits(session, project, columns, labels, by)
    result = Labelled()
    if labels:
        result = annotations.label(session, project, labels, action=form.action, source=form.source, by=by)
    result.saved += len(read)
    if read:
        seconds = _second(session, project, read)
        if store(session, project, form.action, seconds, by):
            remember(session, Act(project, form.action, "second", by), (each.class_id for each in seconds))
    if audits:
        store(session, project, form.action, audits, by)
    return result


def _to_read(session: Session, project: Project, columns: Columns, rows: sight.Rows, form: LabelForm, by: User) -> Mask:
    """Return which items are second readings: all in a batch for it, else cells whose label the person must not see."""
    batch = find_batch(session, project.id, form.batch) if form.batch else None
    if batch and batch.kind == "second":
        if batch.user_id != by.id or not np.isin([item.cell_id for item in form.items], batch.cell_ids).all():
            raise Invalid(_("batch: these cells were not given to you to read in batch %(id)s.", id=batch.id))
        return np.ones(len(rows), bool)
    mask = np.zeros(len(rows), bool)
    known = rows >= 0
    mask[known] = sight.awaiting(session, project, columns, by.id, rows[known])
    return mask


def _second(session: Session, project: Project, items: Sequence[LabelItem]) -> list[Reading]:
    ids = {item.code: item.id for item in classes(session, project)}
    if unknown := sorted({item.class_ for item in items if item.class_} - ids.keys()):
        raise Invalid(_("class: this project has no class %(codes)s.", codes=", ".join(unknown)))
    query = select(Cell.id, Cell.annotation_id).where(Cell.id.in_([item.cell_id for item in items]))
    labels = {row.id: row.annotation_id for row in session.execute(query)}
    return [
        Reading(
            kind="second",
            cell_id=item.cell_id,
            class_id=ids[item.class_] if item.class_ else None,
            annotation_id=labels[item.cell_id],
            seconds=item.seconds if project.timed else None,
        )
        for item in items
    ]


def _audits(
    session: Session, project: Project, columns: Columns, items: Sequence[LabelItem], by: User
) -> list[Reading]:
    """Compare first labels of cells of the audit with the prediction of this moment, made without them.

    Taking such a label back takes the reading back.
    """
    if not project.audit_share:
        return []
    rows = columns.places([item.cell_id for item in items])
    given = [(item, row) for item, row in zip(items, rows.tolist(), strict=True) if row >= 0]
    first = sight.audited(project, columns, np.array([row for _, row in given], np.int64))
    taken_back = [item.cell_id for item, _ in given if item.class_ is None]
    if not (first.any() or taken_back):
        return []
    classifier, table = newest_scores(session, project.id, columns)
    ids = {item.code: item.id for item in classes(session, project)}
    known = select(Reading.cell_id, Reading.kind).where(Reading.user_id == by.id, Reading.kind.in_(AUDITS))
    found = [
        Reading(kind=row.kind, cell_id=row.cell_id)
        for row in session.execute(known.where(Reading.cell_id.in_(taken_back)).distinct())
    ]
    if classifier is None or table is None:
        return found
    for (item, row), audit in zip(given, first, strict=True):
        predicted = int(table.predicted[row])
        code = classifier.classes[predicted]
        if audit and item.class_ in ids and predicted != NO_CLASS and code in ids:
            kind = "blind" if sight.blind(columns.cell_ids[[row]])[0] else "shown"
            found.append(Reading(kind=kind, cell_id=item.cell_id, class_id=ids[item.class_], predicted_id=ids[code]))
    return found


def store(session: Session, project: Project, action: str, readings: Sequence[Reading], by: User) -> bool:
    """Save readings as a person's and say whether any was new: the same action sent again changes nothing."""
    query = select(Reading.cell_id).where(Reading.action == action, Reading.cell_id.in_([r.cell_id for r in readings]))
    repeated = set(session.scalars(query))
    new = [reading for reading in readings if reading.cell_id not in repeated]
    for reading in new:
        reading.project_id, reading.user_id, reading.action = project.id, by.id, action
        reading.created_at = now()
    session.add_all(new)
    return bool(new)


def second_batch(session: Session, project: Project, user: User) -> Batch:
    """Choose labelled cells for a person to read blind. Raises Conflict where none waits for them."""
    columns = columns_of(session, project.id)
    mask = sight.awaiting(session, project, columns, user.id)
    note = N_("Read these cells without their label: give each the class you see.")
    return _batch(session, project, user, columns, mask, Batch(kind="second", note=note))


def audit_batch(session: Session, project: Project, user: User) -> Batch:
    """Choose cells of the audit at random for a person to label. Raises Conflict where none waits."""
    columns = columns_of(session, project.id)
    table = newest_scores(session, project.id, columns)[1]
    if table is None:
        raise Conflict(_("There are no predictions to audit yet: label two cells in each of two classes first."))
    mask = sight.audited(project, columns) & (table.predicted != NO_CLASS)
    note = N_("Cells drawn at random: label each of them, half without seeing the prediction.")
    return _batch(session, project, user, columns, mask, Batch(kind="audit", note=note))


def _batch(session: Session, project: Project, user: User, columns: Columns, mask: Mask, batch: Batch) -> Batch:
    free = mask & ~served(session, project, columns, [batch.kind])
    cell_ids = columns.cell_ids[free if free.any() else mask]
    if not len(cell_ids):
        raise Conflict(_("Nothing waits for you here."))
    batch.cell_ids, batch.reasons = cell_ids[np.argsort(scattered(cell_ids, "order"))[:SIZE]], {}
    return serve(session, project, user, batch)


def adjudication_batch(session: Session, project: Project, user: User) -> Batch:
    """Collect the cells that were not read alike, with who read what. Raises Conflict where there are none."""
    open_ = disputed(session, project)
    if not open_:
        raise Conflict(_("Nothing to settle: no cell was read differently."))
    names: dict[int | None, str] = {row.id: row.name for row in session.execute(select(User.id, User.name))}
    codes = {item.id: item.code for item in classes(session, project)}
    reasons = {
        str(cell_id): ", ".join(f"{names.get(reader, '?')}: {codes[class_id]}" for reader, class_id in read.items())
        for cell_id, read in open_.items()
    }
    note = N_("Cells that were not read alike. ⇧ K keeps the label, a class key changes it: either settles it.")
    cell_ids = np.array(sorted(open_), np.int64)
    batch = Batch(kind="adjudication", cell_ids=cell_ids, note=note, reasons=reasons)
    return serve(session, project, user, batch)


def change(session: Session, project: Project, form: QualityForm, by: User) -> None:
    """Set which shares are audited and read twice, and by how many people."""
    new = {"audit_share": form.audit_percent / 100, "second_share": form.second_percent / 100, "readers": form.readers}
    changes = {name: [getattr(project, name), value] for name, value in new.items() if getattr(project, name) != value}
    if changes:
        record(session, "quality.changed", by=by.id, project_id=project.id, changes=changes)
        for name, value in new.items():
            setattr(project, name, value)
