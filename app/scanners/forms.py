"""What people and REST clients send about scanners."""

from pydantic import BaseModel

from app.forms import Name, OptionalUm


class ScannerForm(BaseModel):
    """A scanner: device, stain and objective in its name, and the size of a pixel in micrometres if it is known."""

    name: Name
    um_per_px: OptionalUm = None
