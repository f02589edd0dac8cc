"""REST endpoints of the projects: create, list, rename. What is known of one is in predictions.results_api."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from app.accounts.access import CurrentUser, Manager
from app.db import SessionDep
from app.errors import Invalid
from app.forms import Name
from app.language import _
from app.models import Member, Project
from app.projects import presets, service
from app.projects.access import ManagedProject
from app.projects.forms import MOST_DAYS, ClassForm, Privacy
from app.projects.privacy import privacy_of, set_privacy
from app.rest import PREFIX, IfMatch, Page, PagingQuery, etag, problems, require_match, rest_router, rows_of_page

MOST_CLASSES = 100

router = rest_router("projects")


class NewClass(ClassForm):
    """A cell class. Without `key` or `color` it gets one that is free; `parent` is the code of another class."""

    model_config = ConfigDict(extra="forbid")


class ProjectForm(BaseModel):
    """A project to create, with its classes or with those of a template."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    classes: Annotated[list[NewClass], Field(max_length=MOST_CLASSES)] = []
    template: Literal["differential-5", "acevedo-8", "blood-15", "marrow-21"] | None = None
    pseudonyms: bool = Field(False, description="Keep keyed hashes in place of accessions, and no file names.")


class PrivacyItem(BaseModel):
    """What a project keeps of its originals, and how long."""

    model_config = ConfigDict(extra="forbid")

    pseudonyms: bool = Field(
        description="Keyed hashes in place of accessions, and no file names. Chosen before the first slide."
    )
    keep_received: bool = Field(description="Files are kept as they came, beside the images made of them.")
    retention_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = Field(
        description="Days after its newest upload until the originals of a slide are deleted; null for never."
    )
    retention_cells: bool = Field(description="Pictures of cells stay when originals are deleted.")


class ProjectChange(BaseModel):
    """What can be changed of a project."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    privacy: PrivacyItem | None = None


class ProjectItem(BaseModel):
    """A classification task."""

    id: int
    name: str
    synthetic: bool = Field(description="Its cells are generated, not from patients.")
    privacy: PrivacyItem
    created_at: datetime


def project_item(project: Project) -> ProjectItem:
    """Return a project as lists show it."""
    return ProjectItem(
        id=project.id,
        name=project.name,
        synthetic=project.synthetic,
        privacy=PrivacyItem.model_validate(privacy_of(project).model_dump()),
        created_at=project.created_at,
    )


def project_etag(project: Project) -> str:
    """Return the entity tag of what can be changed of a project."""
    return etag(project.id, project.name, privacy_of(project))


@router.post("/projects", status_code=201, summary="Create a project")
def create(form: ProjectForm, manager: Manager, session: SessionDep, response: Response) -> ProjectItem:
    """Create a project; managers only."""
    if form.template and form.classes:
        raise Invalid(_("template: give either a template or classes."))
    classes = presets.classes_of(form.template) if form.template else with_keys(form.classes, set())
    project = service.create(session, form.name, classes, manager, pseudonyms=form.pseudonyms)
    response.headers["Location"] = f"{PREFIX}/projects/{project.id}"
    return project_item(project)


@router.get("/projects", summary="List projects")
def index(user: CurrentUser, session: SessionDep, paging: PagingQuery) -> Page[ProjectItem]:
    """List the projects you may see: managers all, others those they are members of."""
    query = select(Project.id, Project)
    if user.role != "manager":
        query = query.join(Member, (Member.project_id == Project.id) & (Member.user_id == user.id))
    rows, next_cursor = rows_of_page(session, query, Project.id, paging)
    return Page(items=[project_item(row.Project) for row in rows], next_cursor=next_cursor)


@router.patch("/projects/{project_id}", summary="Change a project", responses=problems(412))
def change(
    project: ManagedProject,
    form: ProjectChange,
    manager: Manager,
    session: SessionDep,
    response: Response,
    if_match: IfMatch = None,
) -> ProjectItem:
    """Change the name of a project or what it keeps; managers only. Its ETag comes with reading it."""
    session.refresh(project, with_for_update=True)
    require_match(if_match, project_etag(project))
    if form.name is not None:
        service.rename(session, project, form.name, manager)
    if form.privacy is not None:
        set_privacy(session, project, Privacy.model_validate(form.privacy.model_dump()), manager)
    response.headers["ETag"] = project_etag(project)
    return project_item(project)


def with_keys(forms: Sequence[ClassForm], taken: set[str]) -> Sequence[ClassForm]:
    """Give each class that was sent without `key` a free letter of its code or name, if there is one."""
    taken = taken | {form.key for form in forms if form.key}
    result = []
    for form in forms:
        if "key" not in form.model_fields_set:
            letters = (char for char in (form.code + form.name).lower() if char.isascii() and char.isalnum())
            key = next((char for char in letters if char not in taken), None)
            taken |= {key} if key else set()
            form = form.model_copy(update={"key": key})
        result.append(form)
    return result
