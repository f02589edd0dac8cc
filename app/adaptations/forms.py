"""What begins an adaptation."""

from typing import Annotated

from pydantic import BaseModel, Field

FEWEST = 50  # with fewer validation cells an accuracy is hardly known at all
MOST = 2_000


class NewAdaptation(BaseModel):
    """How many cells of the scanner are set aside for validation."""

    cells: Annotated[int, Field(ge=FEWEST, le=MOST)] = 100
