"""REST endpoints of the cell classes of a project."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser, Manager
from app.db import SessionDep
from app.errors import NotFound
from app.forms import Name, PathId
from app.language import _
from app.models import CellClass, Project
from app.models.project import lock
from app.projects import class_sets, queries
from app.projects import classes as rules
from app.projects.access import ManagedProject, ViewableProject
from app.projects.api import NewClass, with_keys
from app.projects.forms import ChangedClass, Code, OptionalCode, OptionalColor, OptionalKey
from app.rest import PREFIX, IfMatch, etag, problems, require_match, rest_router

router = rest_router("classes")


class ClassChange(BaseModel):
    """What to change of a class; what is left out stays. A null `key` or `parent` takes it away."""

    model_config = ConfigDict(extra="forbid")

    code: Code | None = None
    name: Name | None = None
    key: OptionalKey = None
    color: OptionalColor = None
    parent: OptionalCode = None


class ClassItem(BaseModel):
    """A class cells can be given."""

    id: int
    code: str
    name: str
    key: str | None = Field(description="The key that labels with it in the browser.")
    color: str
    parent: str | None = Field(description="Code of the class it is counted with.")


class ClassSetItem(BaseModel):
    """The classes of a project from a time on."""

    number: int
    classes: list[ClassItem]
    created_by: int | None = Field(description="Id of the person who made the change.")
    created_at: datetime


def class_item(row: CellClass, codes: dict[int, str]) -> ClassItem:
    """Return a class as REST clients see it; `codes` are those of its project by id."""
    parent = codes.get(row.parent_id) if row.parent_id else None
    return ClassItem(id=row.id, code=row.code, name=row.name, key=row.key, color=row.color, parent=parent)


def _codes(session: Session, project: Project) -> dict[int, str]:
    return {each.id: each.code for each in queries.classes(session, project)}


def _of_project(class_id: PathId, session: SessionDep, project_id: PathId) -> CellClass:
    row = session.get(CellClass, class_id)
    if row is None or row.project_id != project_id:
        raise NotFound(_("This project has no such class."))
    return row


ClassOfProject = Annotated[CellClass, Depends(_of_project)]


def _etag(row: CellClass) -> str:
    return etag(row.id, row.version)


def _class_as_read(
    project: ManagedProject, row: ClassOfProject, session: SessionDep, if_match: IfMatch = None
) -> CellClass:
    """Return the class of the path if it is still what the client read; nobody can change it until this ends."""
    lock(session, project.id)
    session.refresh(row)
    require_match(if_match, _etag(row))
    return row


ClassAsRead = Annotated[CellClass, Depends(_class_as_read)]


@router.post("/projects/{project_id}/classes", status_code=201, summary="Add a class")
def create(
    project: ManagedProject, form: NewClass, manager: Manager, session: SessionDep, response: Response
) -> ClassItem:
    """Add a class at the end of the list; managers only."""
    lock(session, project.id)
    taken = {each.key for each in queries.classes(session, project) if each.key}
    row = rules.add(session, project, with_keys([form], taken)[0], manager)
    response.headers["Location"] = f"{PREFIX}/projects/{project.id}/classes/{row.id}"
    return class_item(row, _codes(session, project))


@router.get("/projects/{project_id}/class-sets", summary="List the versions of the class set")
def read_class_sets(project: ViewableProject, session: SessionDep) -> list[ClassSetItem]:
    """Return what the classes were from when on, newest first; a change of any class is a version."""
    return [
        ClassSetItem(
            number=each.number,
            classes=[ClassItem(**row) for row in each.rows],
            created_by=each.created_by,
            created_at=each.created_at,
        )
        for each in class_sets.versions(session, project)
    ]


@router.get("/projects/{project_id}/classes/{class_id}", summary="Read a class")
def read(project: ViewableProject, row: ClassOfProject, session: SessionDep, response: Response) -> ClassItem:
    """Return a class, and its ETag for changing it."""
    response.headers["ETag"] = _etag(row)
    return class_item(row, _codes(session, project))


@router.patch("/projects/{project_id}/classes/{class_id}", summary="Change a class", responses=problems(412))
def change(
    project: ManagedProject,
    row: ClassAsRead,
    form: ClassChange,
    user: CurrentUser,
    session: SessionDep,
    response: Response,
) -> ClassItem:
    """Change a class; managers only. Its annotations stay with it."""
    present = class_item(row, _codes(session, project)).model_dump(exclude={"id"})
    wanted: dict[str, Any] = present | form.model_dump(exclude_unset=True)
    for field in ("code", "name"):
        wanted[field] = wanted[field] or present[field]
    rules.change(session, project, row, ChangedClass(**wanted, version=row.version), user)
    session.flush()
    response.headers["ETag"] = _etag(row)
    return class_item(row, _codes(session, project))


@router.delete(
    "/projects/{project_id}/classes/{class_id}",
    status_code=204,
    summary="Delete a class",
    responses=problems(409, 412),
)
def delete(project: ManagedProject, row: ClassAsRead, user: CurrentUser, session: SessionDep) -> None:
    """Delete a class; managers only. One that annotations hold, or that is a parent, cannot go (409)."""
    rules.delete(session, project, row, user)
