"""What all files of a report are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from app.errors import Conflict
from app.language import N_, _
from app.models import Report
from app.reports import queries
from app.reports.content import Content, SignedBy

Status = Literal["preliminary", "unsigned", "waiting", "final", "amended"]
WORDS = {
    "preliminary": N_("Preliminary"),
    "unsigned": N_("Not signed"),
    "waiting": N_("Waits for its second signature"),
    "final": N_("Final"),
    "amended": N_("Amended"),
}


@dataclass(frozen=True)
class Printed:
    """A version of a report with its signatures. `number` is its id, None where nothing was stored of it yet."""

    number: int | None
    content: Content
    signed: Sequence[SignedBy]
    sha256: str | None
    needs_second: bool

    @property
    def status(self) -> Status:
        """How much it is worth: `final` and `amended` are signed as the project asks for."""
        if self.sha256 is None:
            return "preliminary" if self.content.made.preliminary else "unsigned"
        if self.needs_second and len(self.signed) < 2:
            return "waiting"
        return "amended" if self.content.header.version > 1 else "final"

    @property
    def moment(self) -> datetime:
        """When it was signed last, or else classified, or received: the time that its files carry."""
        if self.signed:
            return self.signed[-1].at
        return self.content.made.classified_at or self.content.header.received_at

    @property
    def title(self) -> str:
        """The stem of its files' names; holds no accession, which may be confidential."""
        return f"report-{self.content.header.slide_id}-v{self.content.header.version}"


def printed(session: Session, report: Report) -> Printed:
    """Return what is printed of a version. Raises Conflict where the project has no classifier yet."""
    content = queries.report_of(session, report)
    if content is None:
        raise Conflict(_("There is nothing to report yet: the project has no classifier."))
    signed = queries.signatures(session, report) if report.id else []
    return Printed(report.id, content, signed, report.sha256, report.needs_second)
