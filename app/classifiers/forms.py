"""What managers say about versions of a classifier."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from app.forms import Id, Name, printable

MOST_REASON = 500

OptionalReason = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=MOST_REASON), AfterValidator(printable)
]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MOST_REASON), AfterValidator(printable)
]


class Keep(BaseModel):
    """The name a version is kept under."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class Activation(BaseModel):
    """The scanner a version shall report for, and perhaps why."""

    model_config = ConfigDict(extra="forbid")

    scanner_id: Id
    reason: OptionalReason = ""


class ExplainedActivation(BaseModel):
    """The same in the browser, where a reason is wanted."""

    scanner_id: Id
    reason: Reason
