"""What people and REST clients send about projects and classes."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from app.forms import Id, Name, OptionalName, OptionalUm
from app.language import _

CODE = re.compile(r"[A-Za-z0-9_-]{1,12}")
COLOR = re.compile(r"#[0-9a-f]{6}")
MOST_DAYS = 36_500
GRID_KEYS = frozenset("[]?,.;:")  # size and brightness of the cells and help on the labelling page


def _code(value: str) -> str:
    if not CODE.fullmatch(value):
        raise ValueError(_("1 to 12 letters, digits, - or _, please."))
    return value


def _key(value: str) -> str:
    if len(value) != 1 or not value.isprintable() or value.isspace():
        raise ValueError(_("One character that can be typed with a single key, please."))
    if value != value.lower():
        raise ValueError(
            _("Upper-case letters belong to Shift and its commands; choose a lower-case letter or a digit.")
        )
    if value in GRID_KEYS:
        raise ValueError(_("The labelling page uses %(value)s itself. Choose another key.", value=value))
    return value


def _color(value: str) -> str:
    if not COLOR.fullmatch(value):
        raise ValueError(_("A colour such as #0072b2, please."))
    return value


def _empty_is_none(value: Any) -> Any:
    return (value.strip() or None) if isinstance(value, str) else value


Code = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_code)]
OptionalKey = Annotated[Annotated[str, AfterValidator(_key)] | None, BeforeValidator(_empty_is_none)]
OptionalColor = Annotated[
    Annotated[str, StringConstraints(to_lower=True), AfterValidator(_color)] | None, BeforeValidator(_empty_is_none)
]
OptionalCode = Annotated[Code | None, BeforeValidator(_empty_is_none)]


class ClassForm(BaseModel):
    """A cell class; without a colour it gets one that is still free, `parent` is the code of another class."""

    code: Code
    name: Name
    key: OptionalKey = None
    color: OptionalColor = None
    parent: OptionalCode = None


class ChangedClass(ClassForm):
    """A cell class as changed by somebody who saw its `version`."""

    version: int


OptionalDays = Annotated[Annotated[int, Field(ge=1, le=MOST_DAYS)] | None, BeforeValidator(_empty_is_none)]


class Privacy(BaseModel):
    """What a project keeps of its originals, and how long; boxes of a form are sent only where they are ticked."""

    pseudonyms: bool = False
    keep_received: bool = False
    retention_days: OptionalDays = None
    retention_cells: bool = False


class NewProject(BaseModel):
    """The form of a new project: a set of classes or none, and perhaps the first scanner."""

    name: Name
    pseudonyms: bool = False
    preset: str = ""
    scanner: OptionalName = ""
    um_per_px: OptionalUm = None


class PersonChoice(BaseModel):
    """Somebody to add to a project."""

    user_id: Id


class Timing(BaseModel):
    """Whether decisions are timed; the box of a form is sent only where it is ticked."""

    timed: bool = False


class ProjectName(BaseModel):
    """A new name of a project."""

    name: Name
