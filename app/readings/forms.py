"""What a manager sets of readings."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

MOST_READERS = 5

Percent = Annotated[
    float,
    Field(ge=0, le=100, allow_inf_nan=False),
    BeforeValidator(lambda value: value.strip().replace(",", ".") if isinstance(value, str) else value),
]


class QualityForm(BaseModel):
    """Percent of the cells that are audited, of the labels that are read again, and by how many people in all."""

    audit_percent: Percent
    second_percent: Percent
    readers: Annotated[int, Field(ge=2, le=MOST_READERS)]
