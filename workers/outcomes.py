"""What looking into received files brings: images to keep, fields with their cells, and reasons of refusals."""

from collections.abc import Sequence
from dataclasses import dataclass

from workers.archives import Member


@dataclass(frozen=True)
class Found:
    """A decoded image to keep; `format` is Pillow's name of it, `box` its place in a field it was cut from.

    `received` is the file it came in, where that holds more than its pixels.
    """

    data: bytes
    name: str
    sha256: str
    format: str
    width: int
    height: int
    box: tuple[int, int, int, int] | None = None
    received: bytes | None = None


@dataclass(frozen=True)
class Cut:
    """A field, the diameter of its red cells in pixels, and the cells cut from it."""

    field: Found
    red_cell_px: float
    cells: Sequence[Found]


@dataclass(frozen=True)
class InField:
    """Cells from a part of a field that is stored already."""

    field_id: int
    cells: Sequence[Found]


@dataclass(frozen=True)
class Outcome:
    """What became of a member: an image or field, the reason why it is refused, or None if it was passed over."""

    part_id: int
    member: Member
    result: Found | Cut | InField | str | None

    @property
    def cells(self) -> Sequence[Found]:
        """Images that become cells."""
        match self.result:
            case Found() as found:
                return [found]
            case Cut(cells=cells) | InField(cells=cells):
                return cells
        return []

    @property
    def originals(self) -> Sequence[Found]:
        """All images to keep."""
        return [self.result.field, *self.result.cells] if isinstance(self.result, Cut) else self.cells

    @property
    def size(self) -> int:
        """Bytes in memory."""
        made = [found.data for found in self.originals if found.data is not self.member.data]
        return self.member.size + sum(map(len, made))
