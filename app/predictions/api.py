"""REST endpoint of the predictions."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.db import SessionDep
from app.errors import NotFound
from app.forms import Id
from app.language import _
from app.models import Classifier, Encoder, Project
from app.predictions import grid
from app.predictions.service import classes_by_code
from app.projects.access import ViewableProject
from app.rest import MOST_ITEMS, rest_router

router = rest_router("predictions")


class ClassifierVersion(BaseModel):
    """The classifier that made the predictions."""

    id: int
    version: int
    state: str
    encoder_sha256: str


class PredictionItem(BaseModel):
    """What the classifier says about a cell, all null where it has not seen it yet; and the label people gave."""

    model_config = ConfigDict(populate_by_name=True)

    cell_id: int
    slide_id: int
    scanner_id: int
    predicted: str | None = Field(description="Code of the most probable class.")
    confidence: float | None = Field(description="Its probability.")
    novelty: float | None = Field(
        description="Distance from every class; above 1 it is farther than 95 % of the labelled cells."
    )
    probabilities: dict[str, float] | None
    class_: str | None = Field(alias="class", description="The present label.")


class Predictions(BaseModel):
    """One page of predictions and the classifier that made them; null as long as there are too few labels."""

    classifier: ClassifierVersion | None
    items: list[PredictionItem]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


class PredictionQuery(BaseModel):
    """Which cells, in which order."""

    classifier: Id | None = Field(None, description="Id of a version; without it the newest.")
    order: grid.Order = Field("uncertain", description="Cells without prediction come last.")
    class_: str = Field("", alias="class", description="Only cells labelled with this class.")
    predicted: str = Field("", description="Only cells predicted to be of this class.")
    labelled: Literal["", "yes", "no"] = ""
    scanner_id: Id | None = None
    slide_id: Id | None = None
    limit: int = Field(100, ge=1, le=MOST_ITEMS, description="Items per page.")
    cursor: str = Field("", max_length=200, description="`next_cursor` of the page before; empty for the first.")

    def as_filters(self) -> grid.GridFilters:
        """Return the same for the grid."""
        return grid.GridFilters(
            order=self.order,
            class_=self.class_,
            predicted=self.predicted,
            labelled=self.labelled,
            scanner=self.scanner_id or "",
            slide=self.slide_id or "",
            cursor=self.cursor,
            limit=self.limit,
        )


@router.get("/projects/{project_id}/predictions", summary="List predictions")
def index(project: ViewableProject, session: SessionDep, wanted: Annotated[PredictionQuery, Query()]) -> Predictions:
    """List cells with their predictions in the wanted order.

    While people label, versions follow each other; name a `classifier` to get all pages from one of them. The scores
    of the newest three versions and of all that were ever activated are kept.
    """
    classifier = _classifier(session, project, wanted.classifier) if wanted.classifier else None
    classes = classes_by_code(session, project.id)
    page = grid.page(session, project, classes, wanted.as_filters(), classifier)
    codes = {item.id: code for code, item in classes.items()}
    return Predictions(
        classifier=version_of(session, page.classifier),
        items=[
            _item(page, row, described, codes)
            for row, described in zip(page.rows.tolist(), grid.describe(page, page.rows), strict=True)
        ],
        next_cursor=page.next_cursor or None,
    )


def _classifier(session: Session, project: Project, classifier_id: int) -> Classifier:
    classifier = session.get(Classifier, classifier_id)
    if classifier is None or classifier.project_id != project.id:
        raise NotFound(_("classifier: this project has no classifier %(classifier_id)s.", classifier_id=classifier_id))
    return classifier


def version_of(session: Session, classifier: Classifier | None) -> ClassifierVersion | None:
    """Return what names a classifier and its encoder."""
    if classifier is None:
        return None
    encoder = session.get_one(Encoder, classifier.encoder_id)
    return ClassifierVersion(
        id=classifier.id, version=classifier.version, state=classifier.state, encoder_sha256=encoder.sha256
    )


def _item(page: grid.Page, row: int, described: dict[str, Any], codes: dict[int, str]) -> PredictionItem:
    return PredictionItem(
        cell_id=described["cell_id"],
        slide_id=int(page.columns.slide_ids[row]),
        scanner_id=int(page.columns.scanner_ids[row]),
        predicted=described["predicted"] or None,
        confidence=described["confidence"],
        novelty=described["novelty"],
        probabilities=probabilities(page, row) if described["predicted"] else None,
        class_=codes.get(int(page.columns.class_ids[row])),
    )


def probabilities(page: grid.Page, row: int) -> dict[str, float]:
    """Return the probability of each class, by code, of a cell that has a prediction."""
    assert page.table is not None and page.classifier is not None  # noqa: PT018
    values = page.table.proba[row].tolist()
    return {code: round(value, 4) for code, value in zip(page.classifier.classes, values, strict=True)}
