"""What managers say about a webhook."""

from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.forms import printable
from app.language import _
from app.webhooks.addresses import refused

EventName = Literal["slide.state_changed", "classifier.activated", "scanner.alarm"]


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isascii() or " " in value:
        raise ValueError(_("An address such as https://lis.example/fiftycells, please."))
    if parts.username or parts.password or parts.fragment:
        raise ValueError(_("Leave out names, passwords and what follows #; receivers check the signature."))
    if refused(_literal(parts.hostname or "")):
        raise ValueError(
            _("This is a private address. Whoever looks after the server can allow its network (WEBHOOK_NETWORKS).")
        )
    return value


def _literal(host: str) -> Any:
    try:
        return ip_address(host)
    except ValueError:
        return None  # a name; what it stands for is looked at when something is sent


Url = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(printable), AfterValidator(_url)
]
Events = Annotated[list[EventName], Field(min_length=1, max_length=10)]


class NewWebhook(BaseModel):
    """An address, and which events are sent there."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Events


class WebhookChange(BaseModel):
    """What can be changed of a webhook; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    events: Events | None = None
    active: bool | None = None
