"""What people and REST clients send about mappings."""

from pydantic import BaseModel

from app.forms import Name, OptionalName
from app.projects.forms import Code


class MappingForm(BaseModel):
    """A mapping to save: the counterpart of each class in the other scheme, "" where there is none."""

    name: Name
    targets: dict[Code, OptionalName]
