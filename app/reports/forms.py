"""What comes in with the review of a report, and with the settings of reports."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from app.annotations.forms import Action, LabelItems
from app.forms import Name, Sha256, printable
from app.language import _
from app.readings.forms import Percent, with_point

LONGEST_REASON = 500

Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_REASON), AfterValidator(printable)]


class CorrectionForm(BaseModel):
    """Other classes for cells of a slide; the same `action` sent again changes nothing."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    items: LabelItems


class SignForm(BaseModel):
    """A signature. `seen` names what the person saw, `reason` says why it is signed although something is amiss."""

    seen: Sha256
    reason: Reason = ""


class AmendForm(BaseModel):
    """Why a signed report is opened again."""

    reason: Annotated[Reason, Field(min_length=1)]


class ReportingForm(BaseModel):
    """How a project counts and signs. `within` and `reject_percent` are in per cent."""

    cells: Literal["0", "100", "200"]
    within: Annotated[Percent, Field(gt=0, le=50)]
    reject_percent: Percent
    signer: Literal["reviewer", "manager"]
    second_signature: bool = False


class Rule(BaseModel):
    """A rule of the lab: `subject` as `Reporting` names them, a threshold in per cent, of "cells" in cells."""

    subject: str
    comparison: Literal[">=", "<"]
    threshold: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False), BeforeValidator(with_point)]
    text: Name


Limit = Annotated[Percent | None, BeforeValidator(lambda value: value or None)]


class Range(BaseModel):
    """A reference range in per cent, empty where a class has none."""

    low: Limit
    high: Limit

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        if (self.low is None) != (self.high is None):
            raise ValueError(_("Give both ends of the range, or neither."))
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(_("The lower end is above the upper one."))
        return self
