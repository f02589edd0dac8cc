"""What comes in with labels."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from app.forms import Id
from app.language import _

MOST_ITEMS = 5000
LONGEST_DECISION = 3600  # seconds

Action = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
Seconds = Annotated[float, Field(ge=0, le=LONGEST_DECISION, allow_inf_nan=False)]


class LabelItem(BaseModel):
    """A cell and the code of its class; no class takes the label back. `if_class`: only if it still carries that.

    `seconds` is what the decision took, shared among the cells it labels.
    """

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    cell_id: Id
    class_: str | None = Field(alias="class")
    if_class: str | None = None
    seconds: Seconds | None = None


def _each_cell_once(items: list[LabelItem]) -> list[LabelItem]:
    if len({item.cell_id for item in items}) < len(items):
        raise ValueError(_("the same cell is named twice"))
    return items


LabelItems = Annotated[list[LabelItem], Field(min_length=1, max_length=MOST_ITEMS), AfterValidator(_each_cell_once)]


class LabelForm(BaseModel):
    """One act of labelling; the same `action` sent again changes nothing. `batch` is the one it was done in, if any."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    batch: Id | None = None
    source: Literal["label", "accepted", "kept"] = "label"
    items: LabelItems


def _labels(value: str) -> list[tuple[int, str]]:
    found = [item.partition(":") for item in value.split(",") if item]
    if not found or not all(cell_id.isdecimal() and code for cell_id, _sign, code in found):
        raise ValueError(_("there is nothing to import"))
    return [(int(cell_id), code) for cell_id, _sign, code in found]


class ImportForm(BaseModel):
    """Labels that were found in a file, as `cell id:class code`; those that cells have are kept or overwritten."""

    labels: Annotated[list[tuple[int, str]], BeforeValidator(_labels)]
    overwrite: bool = False


class UndoForm(BaseModel):
    """Take back an action, or do it again; the same `action` sent again changes nothing."""

    model_config = ConfigDict(extra="forbid")

    action: Action
