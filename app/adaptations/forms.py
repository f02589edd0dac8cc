"""What begins an adaptation."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.accounts.passwords import LONGEST
from app.classifiers.forms import Reason

FEWEST = 50  # with fewer validation cells an accuracy is hardly known at all
MOST = 2_000


class NewAdaptation(BaseModel):
    """How many cells of the scanner are set aside for validation."""

    cells: Annotated[int, Field(ge=FEWEST, le=MOST)] = 100


class Decision(BaseModel):
    """Which candidate shall report for the scanner, by its name in the comparison, and why."""

    candidate: str
    reason: Reason


class SignedDecision(Decision):
    """The same in the browser, where the password is asked again: it is a signature."""

    password: Annotated[str, Field(min_length=1, max_length=LONGEST)]
