"""Batches: the few cells a person is given to label next, and why each of them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from app.annotations import queries as annotations
from app.annotations.sight import awaiting, withheld
from app.cells.index import Columns, columns_of
from app.db import now
from app.errors import Conflict, NotFound
from app.forms import Id
from app.language import _, number
from app.models import Annotation, Batch, Cell, CellClass, Project, Ranking, User
from app.models.project import lock
from app.predictions.scores import NO_CLASS, newest_scores

SIZE = 24
SMALLEST_GROUP = 8
DISAGREEMENTS = 200
RESERVED = timedelta(minutes=15)
"""So long nobody else is given the cells of a batch, and who passed over them is given others first."""

Rows = npt.NDArray[np.int64]


class Place(BaseModel):
    """Where the cells of a batch shall be: on one scanner, one slide, or anywhere."""

    model_config = ConfigDict(extra="forbid")

    scanner: Id | Literal[""] = ""
    slide: Id | Literal[""] = ""

    def holds(self, columns: Columns) -> npt.NDArray[np.bool_]:
        """Return which cells are there (n,)."""
        mask = np.ones(len(columns), bool)
        if self.scanner != "":
            mask &= columns.scanner_ids == self.scanner
        if self.slide != "":
            mask &= columns.slide_ids == self.slide
        return mask

    @property
    def query(self) -> str:
        """The same as filters of the grid, for the end of an address."""
        chosen = {name: value for name, value in (("scanner", self.scanner), ("slide", self.slide)) if value != ""}
        return f"&{urlencode(chosen)}" if chosen else ""


def next_batch(session: Session, project: Project, user: User, place: Place) -> Batch:
    """Choose the next cells for a person: a group that looks alike, or single ones the labels are most useful of.

    On one scanner or slide too few may be recommended; the most uncertain ones then complete the batch. Raises Conflict
    while cells are being prepared, and when all are labelled.
    """
    lock(session, project.id)
    columns = columns_of(session, project.id)
    here = place.holds(columns)
    unlabelled = here & (columns.class_ids == 0) & ~columns.removed & ~withheld(project, columns)
    if not unlabelled.any() and place.query:
        raise Conflict(_("No cell of this scanner or slide waits for a label."))
    if not unlabelled.any():
        raise Conflict(
            _("Every cell is labelled.") if len(columns) else _("There are no cells yet: upload some to a slide.")
        )
    free = unlabelled & ~served(session, project, columns, ("group", "next"))
    for allowed in (free, unlabelled):
        batch = _of_ranking(session, project, columns, here, allowed)
        if batch is None or (place.query and batch.kind == "next" and len(batch.cell_ids) < SIZE):
            batch = _with_unsure(session, project, columns, allowed, batch)
        if batch:
            return serve(session, project, user, batch)
    if place.query:
        raise Conflict(_("Nothing is recommended here yet: label cells of all scanners and slides first."))
    raise Conflict(_("The cells are still being prepared. Try again in a moment."))


def conflicts(session: Session, project: Project, user: User, place: Place) -> Batch:
    """Collect the labels that the rest of the data or other people contradict, those with most effect first.

    A person who disagrees counts as a copy does: of few labels of a class a wrong one does most harm. Labels that
    somebody has kept since are left out. Raises Conflict where there are none.
    """
    ranking = session.get(Ranking, project.id)
    columns = columns_of(session, project.id)
    items = {item["cell_id"]: item for item in _disagreements(session, project, columns, place)}
    items |= {item["cell_id"]: item for item in (ranking.conflicts if ranking else [])}
    here = _among(columns, np.array(list(items), np.int64), place.holds(columns))
    items = {cell_id: item for (cell_id, item), inside in zip(items.items(), here.tolist(), strict=True) if inside}
    listed = np.array(list(items), np.int64)
    hidden = set(listed[awaiting(session, project, columns, user.id, columns.places(listed))].tolist())
    current = annotations.current(session, list(items.keys() - hidden))
    open_ = {
        cell_id: item
        for cell_id, item in items.items()
        if cell_id in current and current[cell_id].source != "kept" and current[cell_id].code == item["class"]
    }
    if not open_:
        raise Conflict(_("No label is contradicted by the others."))
    cell_ids = sorted(open_, key=lambda cell_id: -open_[cell_id].get("effect", 0))
    note = _("Labels that the others contradict. ⇧ K keeps one, a class key changes it.")
    reasons = {str(cell_id): _reason(open_[cell_id]) for cell_id in cell_ids}
    batch = Batch(kind="conflict", cell_ids=np.array(cell_ids, np.int64), note=note, reasons=reasons)
    return serve(session, project, user, batch)


def serve(session: Session, project: Project, user: User, batch: Batch) -> Batch:
    """Store a batch as given to a person now."""
    batch.project_id, batch.user_id, batch.created_at = project.id, user.id, now()
    session.add(batch)
    session.flush()
    return batch


def where(batch: Batch, place: Place | None = None) -> dict[str, str]:
    """Return the address at which the grid shows a batch, with the filters it was asked for under."""
    query = place.query if place else ""
    return {"url": f"/projects/{batch.project_id}/cells?order=batch&batch={batch.id}{query}"}


def _disagreements(session: Session, project: Project, columns: Columns, place: Place) -> list[dict[str, Any]]:
    """Return cells to which different people have given different classes: the newest ones, and what others said."""
    theirs = aliased(Annotation)
    other, own = aliased(CellClass), aliased(CellClass)
    query = (
        select(Cell.id, own.id.label("class_id"), own.code, other.code.label("other"), User.name)
        .join(Annotation, Annotation.id == Cell.annotation_id)
        .join(own, own.id == Annotation.class_id)
        .join(theirs, (theirs.cell_id == Cell.id) & (theirs.user_id != Annotation.user_id))
        .join(other, (other.id == theirs.class_id) & (other.id != own.id))
        .join(User, User.id == theirs.user_id)
        .where(Cell.project_id == project.id, Cell.class_id.is_not(None), theirs.source.not_in(("undo", "redo")))
        .order_by(theirs.id.desc())
        .limit(DISAGREEMENTS)
    )
    if place.scanner != "":
        query = query.where(Cell.scanner_id == place.scanner)
    if place.slide != "":
        query = query.where(Cell.slide_id == place.slide)
    labels = np.bincount(columns.class_ids[~columns.unseen])
    return [
        {
            "cell_id": row.id, "class": row.code, "other": row.other, "why": "people", "by": row.name,
            "effect": 1 / max(int(labels[row.class_id]) if row.class_id < len(labels) else 0, 1),
        }
        for row in session.execute(query)
    ]  # fmt: skip


def find_batch(session: Session, project_id: int, batch_id: int) -> Batch:
    """Return a batch of a project; raises NotFound."""
    batch = session.get(Batch, batch_id)
    if batch is None or batch.project_id != project_id:
        raise NotFound(_("batch: this project has no batch %(batch_id)s.", batch_id=batch_id))
    return batch


def served(session: Session, project: Project, columns: Columns, kinds: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which cells somebody was given a moment ago in a batch of these kinds (n,)."""
    recent = (Batch.project_id == project.id) & Batch.kind.in_(kinds)
    query = select(Batch.cell_ids).where(recent, Batch.created_at > now() - RESERVED)
    mask = np.zeros(len(columns), bool)
    for cell_ids in session.scalars(query):
        places = columns.places(cell_ids)
        mask[places[places >= 0]] = True
    return mask


def _of_ranking(
    session: Session, project: Project, columns: Columns, here: npt.NDArray[np.bool_], allowed: npt.NDArray[np.bool_]
) -> Batch | None:
    """Return a batch of what a worker has recommended, None where nothing is left of it."""
    ranking = session.get(Ranking, project.id)
    if ranking is None:
        return None
    for group in ranking.groups:
        cell_ids = np.array(group["cell_ids"], np.int64)
        cell_ids = cell_ids[_among(columns, cell_ids, here)]
        left = cell_ids[_among(columns, cell_ids, allowed)]
        if 2 * len(left) > len(cell_ids) and len(left) >= SMALLEST_GROUP:
            return Batch(kind="group", cell_ids=left, note=_note(len(left), group), reasons={})
    listed = np.array([item["cell_id"] for item in ranking.cells], np.int64)
    chosen = np.flatnonzero(_among(columns, listed, allowed))[:SIZE]
    if not len(chosen):
        return None
    reasons = {str(ranking.cells[at]["cell_id"]): _reason(ranking.cells[at]) for at in chosen.tolist()}
    note = _("Cells whose labels teach the classifier most; each says why.")
    return Batch(kind="next", cell_ids=listed[chosen], note=note, reasons=reasons)


def _among(columns: Columns, cell_ids: Rows, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which of `cell_ids` are allowed (m,)."""
    if not len(cell_ids):
        return np.zeros(0, bool)
    places = columns.places(cell_ids)
    return (places >= 0) & allowed[places]


def _with_unsure(
    session: Session, project: Project, columns: Columns, allowed: npt.NDArray[np.bool_], batch: Batch | None
) -> Batch | None:
    """Complete a batch, or make one, with the most unsure cells by the newest scores."""
    _classifier, table = newest_scores(session, project.id, columns)
    if table is None:
        return batch
    ranked = batch.cell_ids if batch else np.empty(0, np.int64)
    rows = np.flatnonzero(allowed & (table.predicted != NO_CLASS) & ~np.isin(columns.cell_ids, ranked))
    if not len(rows):
        return batch
    chosen = columns.cell_ids[rows[np.argsort(table.margin[rows], kind="stable")[: SIZE - len(ranked)]]]
    if batch is None:
        return Batch(kind="next", cell_ids=chosen, note=_("The most uncertain of the rest."), reasons={})
    batch.cell_ids = np.concatenate([ranked, chosen])
    batch.note = _("Cells whose labels teach the classifier most, each says why; then the most uncertain of the rest.")
    return batch


def _note(count: int, group: dict[str, Any]) -> str:
    sentences = [_("These %(count)s cells look alike.", count=count)]
    if group["size"] > count:
        sentences.append(_("%(count)s more like them are waiting.", count=number(group["size"] - count)))
    if group["novel"]:
        sentences.append(_("They are unlike everything labelled so far."))
    return " ".join([*sentences, _("Ctrl A and a class key name them all.")])


def _reason(item: dict[str, Any]) -> str:
    """Say why a cell is shown, as short as a tile is wide."""
    match item["why"]:
        case "unsure":
            return _("%(first)s or %(second)s?", first=item["classes"][0], second=item["classes"][1])
        case "novel":
            return _("unlike all labelled")
        case "rare":
            return _("few %(code)s labels", code=item["class"])
        case "unlikely":
            return _("others say %(code)s", code=item["other"])
        case "copy":
            return _("same picture: %(code)s", code=item["other"])
        case "people":
            return f"{item['by']}: {item['other']}"
        case "least":
            return _("least sure of %(code)s", code=item["class"])
    raise ValueError(f"unknown reason {item['why']!r}")
