"""REST endpoints of the classifiers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from app.accounts.access import CurrentUser
from app.classifiers import service
from app.classifiers.access import ManagedClassifier
from app.classifiers.forms import Activation, Keep
from app.db import SessionDep
from app.models import Classifier, Encoder, Project
from app.projects.access import ViewableProject
from app.rest import Page, Paging, rest_router, rows_of_page
from app.scanners.access import ManagedScanner
from app.slides.service import scanner_of

State = Literal["assist", "candidate", "reporting", "retired"]

router = rest_router("classifiers")


class EncoderName(BaseModel):
    """The encoder whose embeddings a classifier was fitted on."""

    name: str
    sha256: str


class ClassifierItem(BaseModel):
    """A version of the classifier of a project."""

    id: int
    version: int
    state: State
    scanner_id: int | None = Field(description="The scanner it reports, or reported, for.")
    name: str = Field(description="Given when it was kept as a candidate; empty before.")
    revision: str = Field(description="Of the code that fitted it; empty for versions fitted before it was noted.")
    head: str
    encoder: EncoderName
    classes: list[str] = Field(description="Codes, in the order of the confusion matrix.")
    labels: int = Field(description="How many labels it was fitted on.")
    labels_sha256: str = Field(description="Equal for two versions fitted on the same labels.")
    cells_scored: int
    predicted: dict[str, int] = Field(description="How many cells it predicts to be of each class.")
    metrics: dict[str, Any] | None = Field(
        description="Cross-validated, of one adapted to a scanner on validation cells; null until that is done."
    )
    has_scores: bool = Field(description="Whether its predictions are still kept.")
    fit_seconds: float
    created_at: datetime


class ClassifierQuery(Paging):
    """Which versions are wanted."""

    order: Literal["oldest", "newest"] = "oldest"
    state: State | None = None


@router.get("/projects/{project_id}/classifiers", summary="List classifiers")
def index(
    project: ViewableProject, session: SessionDep, wanted: Annotated[ClassifierQuery, Query()]
) -> Page[ClassifierItem]:
    """List the versions with their metrics. Predictions that are shown come from the newest."""
    query = select(Classifier.id, Classifier, Encoder).join(Encoder).where(Classifier.project_id == project.id)
    if wanted.state:
        query = query.where(Classifier.state == wanted.state)
    rows, next_cursor = rows_of_page(session, query, Classifier.id, wanted, descending=wanted.order == "newest")
    return Page(items=[_item(row.Classifier, row.Encoder) for row in rows], next_cursor=next_cursor)


@router.post("/classifiers/{classifier_id}/activate", summary="Activate a classifier")
def activate(classifier: ManagedClassifier, form: Activation, user: CurrentUser, session: SessionDep) -> ClassifierItem:
    """Make this version the reporting classifier of a scanner; managers only.

    The one before is retired and can be activated again. Scores of old versions are not kept for ever: a version
    without them cannot be activated (409).
    """
    scanner = scanner_of(session, session.get_one(Project, classifier.project_id), form.scanner_id)
    service.activate(session, classifier, scanner, user, reason=form.reason)
    return _item(classifier, session.get_one(Encoder, classifier.encoder_id))


@router.post("/classifiers/{classifier_id}/keep", summary="Keep a version as a candidate")
def keep(classifier: ManagedClassifier, form: Keep, user: CurrentUser, session: SessionDep) -> ClassifierItem:
    """Give a version a name and keep its scores, whatever is fitted later; managers only."""
    service.keep(session, classifier, form.name, user)
    return _item(classifier, session.get_one(Encoder, classifier.encoder_id))


@router.post("/scanners/{scanner_id}/rollback", summary="Go back to the classifier before")
def roll_back(scanner: ManagedScanner, user: CurrentUser, session: SessionDep) -> ClassifierItem:
    """Make the version that reported for a scanner before the present one report again; managers only."""
    classifier = service.roll_back(session, scanner, user)
    return _item(classifier, session.get_one(Encoder, classifier.encoder_id))


def _item(classifier: Classifier, encoder: Encoder) -> ClassifierItem:
    return ClassifierItem(
        id=classifier.id,
        version=classifier.version,
        state=classifier.state,
        scanner_id=classifier.scanner_id,
        name=classifier.name,
        revision=classifier.revision,
        head=classifier.head,
        encoder=EncoderName(name=encoder.name, sha256=encoder.sha256),
        classes=classifier.classes,
        labels=classifier.labels,
        labels_sha256=classifier.labels_sha256,
        cells_scored=classifier.cells_scored,
        predicted=classifier.predicted,
        metrics=classifier.metrics,
        has_scores=classifier.scores is not None,
        fit_seconds=classifier.fit_seconds,
        created_at=classifier.created_at,
    )
