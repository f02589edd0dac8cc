"""Review by exception: all cells predicted to be of one class, in one order that does not move while it is read."""

from datetime import timedelta
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.annotations.forms import MOST_ITEMS, Action, Seconds
from app.db import now
from app.errors import Conflict, Invalid
from app.forms import LARGEST_ID, Id
from app.language import _
from app.models import Batch, CellClass, Project, User
from app.predictions.batches import Place, serve
from app.predictions.grid import GridFilters, all_rows, gather, passing
from app.predictions.scores import NO_CLASS

AGAIN = timedelta(hours=1)
"""So long a class that a person has reviewed is not proposed to them again."""


class ReviewForm(Place):
    """Which predictions shall be reviewed; no class leaves the choice to us."""

    predicted: str = ""
    order: Literal["confident", "novel"] = "confident"


class AcceptForm(BaseModel):
    """Accept the predictions of a review from its first cell up to `stop`, without the exceptions."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    stop: Annotated[int, Field(ge=1, le=LARGEST_ID)]
    exceptions: Annotated[list[Id], Field(max_length=MOST_ITEMS)] = []
    seconds: Seconds | None = None


def begin(session: Session, project: Project, user: User, form: ReviewForm, classes: dict[str, CellClass]) -> Batch:
    """Put the unlabelled cells predicted to be of one class in order, most confident or most deviant first.

    Raises Invalid for an unknown class and Conflict where there is nothing to review.
    """
    if form.predicted and form.predicted not in classes:
        raise Invalid(_("predicted: this project has no class %(predicted)s.", predicted=form.predicted))
    filters = GridFilters(order=form.order, labelled="no", scanner=form.scanner, slide=form.slide)
    facts = gather(session, project, filters, user=user)
    classifier, table = facts.classifier, facts.table
    if classifier is None or table is None:
        raise Conflict(_("There are no predictions yet: label two cells in each of two classes first."))
    predicted = table.predicted[passing(facts, classes, filters) & (table.predicted != NO_CLASS) & ~facts.withheld]
    counts = np.bincount(predicted, minlength=len(classifier.classes))
    waiting = {code: int(count) for code, count in zip(classifier.classes, counts, strict=True) if count}
    code = form.predicted or _proposed(session, project, user, {c: n for c, n in waiting.items() if c in classes})
    if code not in waiting:
        raise Conflict(_("No unlabelled cell is predicted %(code)s.", code=code))
    rows = all_rows(facts, classes, filters.model_copy(update={"predicted": code}))
    most_confident = _("Predicted %(code)s, most confident first.", code=code)
    note = most_confident if form.order == "confident" else _("Predicted %(code)s, most deviant first.", code=code)
    cell_ids = facts.columns.cell_ids[rows]
    batch = Batch(kind="review", class_id=classes[code].id, cell_ids=cell_ids, note=note, reasons={})
    return serve(session, project, user, batch)


def accept(session: Session, batch: Batch, user: User, form: AcceptForm) -> int:
    """Give the class of a review to its first `stop` cells but for labelled ones and exceptions; returns a job id."""
    if batch.kind != "review" or form.stop > len(batch.cell_ids):
        raise Invalid(_("stop: batch %(id)s is not a review of so many cells.", id=batch.id))
    arguments = {"batch_id": batch.id, **form.model_dump(include={"stop", "exceptions", "seconds"})}
    return jobs.accept_batch(session, batch.project_id, arguments, action=form.action, user_id=user.id)


def _proposed(session: Session, project: Project, user: User, waiting: dict[str, int]) -> str:
    """Return the class with most cells waiting among those this person has not just reviewed."""
    mine = (Batch.project_id == project.id) & (Batch.kind == "review") & (Batch.user_id == user.id)
    query = select(CellClass.code).join(Batch, Batch.class_id == CellClass.id).where(mine)
    reviewed = set(session.scalars(query.where(Batch.created_at > now() - AGAIN)))
    left = {code: count for code, count in waiting.items() if code not in reviewed}
    if not left:
        raise Conflict(_("Every predicted class was reviewed. Choose one under Prediction to review it again."))
    return max(left, key=lambda code: left[code])
