"""Browser forms: what was typed, checked by a pydantic model, and shown again with a reason beside each refused field.

A refusal is `Invalid` with a list of fields and reasons, the same for a page and for a REST client.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, ValidationError

from app.errors import AppError, Invalid
from app.language import N_, _

M = TypeVar("M", bound=BaseModel)

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
LARGEST_ID = 2**31 - 1  # of an integer column
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
PathId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
PageId = Annotated[int | None, Query(ge=1, le=LARGEST_ID)]  # where a page of a list begins


def printable(value: str) -> str:
    """Refuse control characters: no name needs them, and PostgreSQL cannot store a NUL."""
    if not value.isprintable():
        raise ValueError(_("Please leave out line breaks and control characters."))
    return value


OptionalName = Annotated[str, StringConstraints(strip_whitespace=True, max_length=80), AfterValidator(printable)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(printable)]
OptionalUm = Annotated[
    Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None,
    BeforeValidator(lambda value: (value.strip().replace(",", ".") or None) if isinstance(value, str) else value),
]

REASONS = {
    "missing": N_("Please fill this in."),
    "string_too_short": N_("Please fill this in."),
    "string_too_long": N_("At most %(max_length)s characters, please."),
    "float_parsing": N_("A number, please."),
    "int_parsing": N_("A whole number, please."),
    "greater_than": N_("A number above %(gt)s, please."),
    "greater_than_equal": N_("At least %(ge)s, please."),
    "less_than_equal": N_("At most %(le)s, please."),
    "finite_number": N_("A number, please."),
    "literal_error": N_("Choose one of: %(expected)s."),
}


def fields(**values: Any) -> defaultdict[str, Any]:
    """Return what a form shows at first; a field that is not given is empty."""
    return defaultdict(str, values)


async def _form_values(request: Request) -> defaultdict[str, Any]:
    form = await request.form()
    return fields(**{name: value for name, value in form.items() if isinstance(value, str)})


FormValues = Annotated[defaultdict[str, Any], Depends(_form_values)]


def parse(model: type[M], values: Mapping[str, Any]) -> M:
    """Check what was typed. Raises Invalid that names every refused field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        reasons = {str(item["loc"][0]) if item["loc"] else "": _reason(item) for item in error.errors()}
        raise refusal(reasons) from error


def _reason(item: Any) -> str:
    known = REASONS.get(item["type"])
    if known:
        return _(known, **item.get("ctx", {}))
    return str(item["msg"]).removeprefix("Value error, ")


def refusal(reasons: Mapping[str, str]) -> Invalid:
    """Make the error for these fields and reasons."""
    detail = "; ".join(f"{field}: {reason}" for field, reason in reasons.items())
    return Invalid(detail, errors=[{"field": field, "reason": reason} for field, reason in reasons.items()])


def reasons_of(error: AppError | None) -> defaultdict[str, Any]:
    """Return field -> reason, for the template that shows the form again."""
    problems = error.members.get("errors", []) if error else []
    return fields(**{item["field"]: item["reason"] for item in problems})
