"""What people say about alarms and references."""

from pydantic import BaseModel, ConfigDict

from app.classifiers.forms import Reason


class Settlement(BaseModel):
    """What was found, or done, about an alarm."""

    model_config = ConfigDict(extra="forbid")

    note: Reason


class NewReference(BaseModel):
    """Why a scanner is no longer compared with its days before: a new stain, a serviced device."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
