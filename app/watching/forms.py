"""What people say about alarms and references."""

from pydantic import BaseModel, ConfigDict

from app.classifiers.forms import Reason
from app.forms import Id
from app.slides.forms import Accession


class Settlement(BaseModel):
    """What was found, or done, about an alarm."""

    model_config = ConfigDict(extra="forbid")

    note: Reason


class NewReference(BaseModel):
    """Why a scanner is no longer compared with its days before: a new stain, a serviced device."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class NewControl(BaseModel):
    """The accession under which a control slide is scanned again."""

    model_config = ConfigDict(extra="forbid")

    accession: Accession


class ChosenControl(NewControl):
    """The same with the first run, as the page asks for it."""

    slide_id: Id
