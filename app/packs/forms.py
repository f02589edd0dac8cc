"""What managers say about lab packs."""

from typing import Annotated

from pydantic import BaseModel, StringConstraints

from app.forms import Id, Name


class NewPack(BaseModel):
    """Which version of the classifier a pack holds, and whether pictures are in it."""

    classifier_id: Id
    with_images: bool = False


class TakeIn(BaseModel):
    """What a received pack shall become, and the key that the other lab says is theirs."""

    name: Name
    key: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
