"""Who may see a cell: whoever may open its project. Any other cell is not found."""

from typing import Annotated

from fastapi import Depends
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Cell, Image, Member, User


def find_cell(session: Session, cell_id: int, user: User) -> tuple[Cell, Image]:
    """Return a cell this person may see, and its image, in one query: pages ask for hundreds. Raises NotFound."""
    query = select(Cell, Image).join(Image, Image.id == Cell.image_id).where(Cell.id == cell_id)
    if user.role != "manager":
        query = query.join(Member, and_(Member.project_id == Cell.project_id, Member.user_id == user.id))
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFound(_("There is no such cell, or you are not a member of its project."))
    return found[0], found[1]


def viewable_cell(cell_id: PathId, user: CurrentUser, session: SessionDep) -> Cell:
    """Return the cell of the path. Raises NotFound."""
    return find_cell(session, cell_id, user)[0]


def viewable_image(cell_id: PathId, user: CurrentUser, session: SessionDep) -> Image:
    """Return the image of the cell of the path. Raises NotFound."""
    return find_cell(session, cell_id, user)[1]


ViewableCell = Annotated[Cell, Depends(viewable_cell)]
ViewableImage = Annotated[Image, Depends(viewable_image)]
