"""What a project says about its reports, and the versions of the report of a slide with their signatures."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Reporting(Base):
    """How a project counts and signs; managers set it.

    `left_out` holds ids of classes that are no part of the 100 %. Subjects of `ranges` and of `rules` are a class id
    ("7"), a class with its subclasses ("7+"), "cells" or "unclassified"; ranges {subject: [low, high]} and thresholds
    of rules [{subject, comparison, threshold, text}] are in per cent, of "cells" in cells. `loinc` {subject: code} are
    the lab's own codes of LOINC, where they differ from those of the standard classes.
    """

    __tablename__ = "reporting"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    left_out: Mapped[list[Any]] = mapped_column(JSON)
    ranges: Mapped[dict[str, Any]] = mapped_column(JSON)
    rules: Mapped[list[Any]] = mapped_column(JSON)
    loinc: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default=text("'{}'"))
    cells: Mapped[int]  # that make a differential: 100, 200, or 0 for all
    within: Mapped[float]  # how narrow half an interval shall be, in percentage points
    reject_below: Mapped[float]  # highest probability from which on a cell is classified, 0 to 1
    signer: Mapped[str]  # "reviewer": reviewers and managers, "manager": managers only
    second_signature: Mapped[bool]


class Report(Base):
    """A version of the report of a slide: open until it is signed, then `content` (JSON) never changes.

    `scores` is the score table of the slide's cells by its classifier, made when the slide was complete: a safetensors
    file as docs/score-tables.md describes it. The report is `bound` to it if it is that of the scanner's reporting
    classifier, otherwise from the beginning of its review on; before, it follows the newest version. `preliminary` as
    long as nobody has activated the classifier for the scanner. `reason` says why a signed one is followed by this.
    """

    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("slide_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    slide_id: Mapped[int] = mapped_column(ForeignKey("slide.id"))
    version: Mapped[int]
    reason: Mapped[str] = mapped_column(default="")
    classifier_id: Mapped[int | None] = mapped_column(ForeignKey("classifier.id"))
    bound: Mapped[bool] = mapped_column(default=False, server_default=false())
    preliminary: Mapped[bool] = mapped_column(default=True)
    reject_below: Mapped[float | None]
    scores: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    scores_sha256: Mapped[str | None]
    classified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    content: Mapped[str | None] = mapped_column(Text, deferred=True)
    sha256: Mapped[str | None]  # of `content`, set when it is signed
    needs_second: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Signature(Base):
    """Somebody signed a version of a report; the second is by another person."""

    __tablename__ = "signature"
    __table_args__ = (UniqueConstraint("report_id", "user_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
