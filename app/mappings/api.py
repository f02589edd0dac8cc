"""REST endpoints of mappings of classes, and of metrics under them."""

from datetime import datetime
from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from app.accounts.access import Manager
from app.db import SessionDep
from app.errors import NotFound
from app.forms import Id
from app.language import _
from app.mappings import service
from app.mappings.access import ViewableMapping
from app.mappings.forms import MappingForm
from app.models import ClassMapping
from app.projects.access import ManagedProject, ViewableProject
from app.rest import PREFIX, Page, PagingQuery, rest_router, rows_of_page

router = rest_router("mappings")


class NewMapping(MappingForm):
    """A version of a mapping to save; `targets` is {class code: its counterpart, "" for none}."""

    model_config = ConfigDict(extra="forbid")


class MappedClass(BaseModel):
    """A class as it was when the mapping was saved, and its counterpart, "" for none."""

    class_id: int
    code: str
    name: str
    target: str


class MappingItem(BaseModel):
    """A version of a mapping; none is ever changed."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    project_id: int
    name: str
    version: int
    rows: list[MappedClass]
    created_at: datetime


class TargetItem(BaseModel):
    """A class of the other scheme."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    codes: list[str]
    labels: int
    recall: float | None
    interval: tuple[float, float] | None = Field(description="95 %, Clopper and Pearson.")


class MappedMetrics(BaseModel):
    """Metrics of a classifier under a mapping, from its cross-validated confusion."""

    mapping_id: int
    classifier_id: int
    classifier_version: int
    own_balanced_accuracy: float = Field(description="Under the classes of the project.")
    balanced_accuracy: float | None
    targets: list[TargetItem]
    confusion: list[list[int]] = Field(
        description="Rows are the targets; columns the same and, last, predictions without counterpart."
    )
    left_out: list[str] = Field(description="Classes without counterpart; their labels are not counted.")


def mapping_item(mapping: ClassMapping) -> MappingItem:
    """Return a mapping as lists show it."""
    return MappingItem.model_validate(mapping)


@router.post("/projects/{project_id}/mappings", status_code=201, summary="Save a mapping")
def create(
    project: ManagedProject, form: NewMapping, manager: Manager, session: SessionDep, response: Response
) -> MappingItem:
    """Save a mapping of the classes onto another scheme, as a new version if there is one of this name."""
    mapping = service.save(session, project, form.name, form.targets, manager)
    response.headers["Location"] = f"{PREFIX}/mappings/{mapping.id}"
    return mapping_item(mapping)


@router.get("/projects/{project_id}/mappings", summary="List mappings")
def index(project: ViewableProject, session: SessionDep, paging: PagingQuery) -> Page[MappingItem]:
    """List all versions of the mappings of a project."""
    query = select(ClassMapping.id, ClassMapping).where(ClassMapping.project_id == project.id)
    rows, next_cursor = rows_of_page(session, query, ClassMapping.id, paging)
    return Page(items=[mapping_item(row.ClassMapping) for row in rows], next_cursor=next_cursor)


@router.get("/mappings/{mapping_id}", summary="Fetch a mapping")
def show(mapping: ViewableMapping) -> MappingItem:
    """Return a version of a mapping."""
    return mapping_item(mapping)


@router.get("/mappings/{mapping_id}/metrics", summary="Metrics under a mapping")
def metrics(
    mapping: ViewableMapping, session: SessionDep, classifier_id: Annotated[Id | None, Query()] = None
) -> MappedMetrics:
    """Return the metrics of a classifier under the other scheme: of the newest that has some unless one is named."""
    classifier = service.evaluated(session, mapping, classifier_id)
    if classifier is None or classifier.metrics is None:
        raise NotFound(_("This project has no such classifier with metrics yet."))
    found = service.metrics_under(session, mapping, classifier)
    return MappedMetrics(
        mapping_id=mapping.id,
        classifier_id=classifier.id,
        classifier_version=classifier.version,
        own_balanced_accuracy=classifier.metrics["balanced_accuracy"],
        balanced_accuracy=found.balanced_accuracy,
        targets=[TargetItem.model_validate(each) for each in found.targets],
        confusion=[list(row) for row in found.confusion],
        left_out=list(found.left_out),
    )
