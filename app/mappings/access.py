"""Who may see a mapping: whoever may open its project. Any other mapping is not found."""

from typing import Annotated

from fastapi import Depends

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import ClassMapping
from app.projects.access import opens


def viewable_mapping(mapping_id: PathId, user: CurrentUser, session: SessionDep) -> ClassMapping:
    """Return the mapping of the path. Raises NotFound, for others' mappings as for missing ones."""
    mapping = session.get(ClassMapping, mapping_id)
    if mapping is None or not opens(session, mapping.project_id, user):
        raise NotFound(_("There is no such mapping, or you are not a member of its project."))
    return mapping


ViewableMapping = Annotated[ClassMapping, Depends(viewable_mapping)]
