"""Boxes drawn by hand."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.forms import Id

MOST_REMOVED = 1000  # cells in one request

Place = Annotated[int, Field(ge=-(10**6), le=10**6)]
Box = Annotated[list[Place], Field(min_length=4, max_length=4, description="Left, top, right, bottom in pixels.")]


class BoxForm(BaseModel):
    """A box around a cell that was missed, or in place of the box of a cell; its label goes with it."""

    model_config = ConfigDict(extra="forbid")

    box: Box
    replaces: Id | None = Field(None, description="The cell whose box this is instead.")


class RemoveForm(BaseModel):
    """Cells that are none, or that were cut wrongly."""

    model_config = ConfigDict(extra="forbid")

    cell_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_REMOVED)]


class NamedBox(BoxForm):
    """The same with the name of the action, under which it can be taken back."""

    action: UUID


class NamedRemoval(RemoveForm):
    """The same with the name of the action."""

    action: UUID
