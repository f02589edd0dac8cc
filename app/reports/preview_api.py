"""REST endpoints of what would change if another classifier reported for a scanner."""

from datetime import datetime
from typing import Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from app.classifiers.access import ManagedClassifier
from app.db import SessionDep
from app.forms import Id
from app.models import ActivationPreview, Project
from app.reports import previews
from app.rest import PREFIX, rest_router
from app.scanners.access import ManagedScanner
from app.slides.service import scanner_of

router = rest_router("classifiers")


class PreviewForm(BaseModel):
    """The scanner a version might report for."""

    model_config = ConfigDict(extra="forbid")

    scanner_id: Id


class PreviewItem(BaseModel):
    """The newest slides of a scanner as a version would report on them."""

    model_config = ConfigDict(from_attributes=True)

    classifier_id: int
    scanner_id: int
    found: dict[str, Any] | None = Field(
        description="Null while it is being made. Slides and cells compared, cells `changed`, `classes` [code, before, "
        'after] with "" for unclassified cells, `moves` [from, to, cells], how many reports are `signed`, and in '
        "`signed_otherwise` those that would say something else."
    )
    created_at: datetime


@router.post("/classifiers/{classifier_id}/previews", status_code=202, summary="Preview an activation")
def ask(classifier: ManagedClassifier, form: PreviewForm, session: SessionDep, response: Response) -> PreviewItem:
    """Have the scanner's newest slides classified by this version, without any effect; managers only."""
    scanner = scanner_of(session, session.get_one(Project, classifier.project_id), form.scanner_id)
    response.headers["Location"] = f"{PREFIX}/jobs/{previews.ask(session, classifier, scanner)}"
    return _item(previews.get(session, classifier, scanner))


@router.get("/classifiers/{classifier_id}/previews/{scanner_id}", summary="Read a preview")
def read(classifier: ManagedClassifier, scanner: ManagedScanner, session: SessionDep) -> PreviewItem:
    """Say what would change; managers only."""
    return _item(previews.get(session, classifier, scanner))


def _item(preview: ActivationPreview) -> PreviewItem:
    return PreviewItem.model_validate(preview)
