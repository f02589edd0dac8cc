"""Who may reach a scanner: whoever may open its project."""

from typing import Annotated

from fastapi import Depends

from app.accounts.access import CurrentUser, Manager
from app.db import SessionDep
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Scanner
from app.projects.access import opens


def viewable_scanner(scanner_id: PathId, user: CurrentUser, session: SessionDep) -> Scanner:
    """Return the scanner of the path if the person may open its project. Raises NotFound."""
    scanner = session.get(Scanner, scanner_id)
    if scanner is None or not opens(session, scanner.project_id, user):
        raise NotFound(_("There is no such scanner, or you are not a member of its project."))
    return scanner


def managed_scanner(scanner: Annotated[Scanner, Depends(viewable_scanner)], _user: Manager) -> Scanner:
    """Return the scanner of the path if the person may change it. Raises Forbidden or NotFound."""
    return scanner


ViewableScanner = Annotated[Scanner, Depends(viewable_scanner)]
ManagedScanner = Annotated[Scanner, Depends(managed_scanner)]
