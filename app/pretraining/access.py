"""Who may see runs: members of the project. Who may steer them: managers."""

from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser, Manager
from app.db import SessionDep
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Pretraining, User
from app.projects.access import opens


def _find(session: Session, run_id: int, user: User, *, steer: bool) -> Pretraining:
    run = session.get(Pretraining, run_id, with_for_update=steer)
    if run is None or not opens(session, run.project_id, user):
        raise NotFound(_("There is no such training run, or you are not a member of its project."))
    return run


def viewable_run(run_id: PathId, user: CurrentUser, session: SessionDep) -> Pretraining:
    """Return the run of the path. Raises NotFound."""
    return _find(session, run_id, user, steer=False)


def managed_run(run_id: PathId, user: Manager, session: SessionDep) -> Pretraining:
    """Return the run of the path, locked. Raises Forbidden or NotFound."""
    return _find(session, run_id, user, steer=True)


ViewableRun = Annotated[Pretraining, Depends(viewable_run)]
ManagedRun = Annotated[Pretraining, Depends(managed_run)]
