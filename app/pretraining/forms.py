"""What starts a run."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from app.forms import Id


class NewRun(BaseModel):
    """How an encoder is trained further: on whose cells, on how many of them, and how often each is seen."""

    scanner_id: Annotated[Id | None, BeforeValidator(lambda value: value or None)] = Field(
        None, description="The scanner whose cells are used; null: all cells of the project."
    )
    epochs: int = Field(10, ge=1, le=500, description="How often each cell is seen.")
    most_images: int = Field(20_000, ge=256, le=1_000_000, description="Of more cells, so many are drawn at random.")
