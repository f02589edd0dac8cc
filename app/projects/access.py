"""Who may open a project: managers all of them, others those they are members of. Any other project is not found."""

from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser, Manager, current_user
from app.db import SessionDep, transaction
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


def viewed_project(project_id: PathId, request: Request) -> Project:
    """Check the rights in a transaction that is over before a file is matched with a million cells: SQLite has one
    writer at a time. Raises NotSignedIn or NotFound."""
    with transaction() as session:
        return find_project(session, project_id, current_user(request, session))
