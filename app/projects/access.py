"""Who may open a project: managers all of them, others those they are members of. Any other project is not found."""

from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser, Manager, current_user
from app.db import SessionDep, reading
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Member, Project, User


def opens(session: Session, project_id: int, user: User) -> bool:
    """Say whether a person may open a project. What belongs to any other is not there, and is refused in the very words
    of what is not there: the difference would tell that it is."""
    return user.role == "manager" or session.get(Member, (project_id, user.id)) is not None


def find_project(session: Session, project_id: int, user: User) -> Project:
    """Return a project this person may see. Raises NotFound, for others' projects as for missing ones."""
    project = session.get(Project, project_id)
    if project is None or not opens(session, project_id, user):
        raise NotFound(_("There is no such project, or you are not a member of it."))
    return project


def viewable_project(project_id: PathId, user: CurrentUser, session: SessionDep) -> Project:
    """Return the project of the path if the person may see it and label in it. Raises NotFound."""
    return find_project(session, project_id, user)


def managed_project(project_id: PathId, user: Manager, session: SessionDep) -> Project:
    """Return the project of the path if the person may change its settings. Raises Forbidden or NotFound."""
    return find_project(session, project_id, user)


ViewableProject = Annotated[Project, Depends(viewable_project)]
ManagedProject = Annotated[Project, Depends(managed_project)]


def viewed_project(project_id: PathId, request: Request) -> tuple[Project, User]:
    """Return the project of the path and who opens it, for requests that write but shall not hold up others while their
    rights are looked up: SQLite has one writer at a time. Raises NotSignedIn or NotFound."""
    with reading() as session:
        user = current_user(request, session)
        return find_project(session, project_id, user), user


ViewedProject = Annotated[tuple[Project, User], Depends(viewed_project)]
