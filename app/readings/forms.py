"""What a manager sets of readings."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

MOST_READERS = 5


def with_point(value: Any) -> Any:
    """Let people write a decimal comma."""
    return value.strip().replace(",", ".") if isinstance(value, str) else value


Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), BeforeValidator(with_point)]


class QualityForm(BaseModel):
    """Percent of the cells that are audited, of the labels that are read again, and by how many people in all."""

    audit_percent: Percent
    second_percent: Percent
    readers: Annotated[int, Field(ge=2, le=MOST_READERS)]
