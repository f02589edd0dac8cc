"""Who may see a field: whoever may open its project. Any other field is not found."""

from typing import Annotated

from fastapi import Depends

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Field
from app.projects.access import opens


def viewable_field(field_id: PathId, user: CurrentUser, session: SessionDep) -> Field:
    """Return the field of the path. Raises NotFound."""
    field = session.get(Field, field_id)
    if field is None or not opens(session, field.project_id, user):
        raise NotFound(_("There is no such field, or you are not a member of its project."))
    return field


ViewableField = Annotated[Field, Depends(viewable_field)]
EditableField = Annotated[Field, Depends(viewable_field)]  # every member draws boxes
