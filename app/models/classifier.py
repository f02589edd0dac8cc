"""Classifiers."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Classifier(Base):
    """A fitted head. The assist classifier of a project is its newest; a reporting one serves a scanner when activated.

    A candidate is a version somebody keeps under a name. Any version whose scores are kept can be activated.
    `adapted` says which candidate of an adaptation a version is; such a one knows one scanner and is never the assist.
    `artifact` and `scores` are storage keys of safetensors files: its arrays with the labels it was fitted on, and its
    score table, which is deleted when it is old.
    """

    __tablename__ = "classifier"
    __table_args__ = (
        UniqueConstraint("project_id", "version"),
        # The few of thousands of versions whose score table is kept.
        Index(
            "ix_classifier_scored",
            "project_id",
            sqlite_where=text("scores IS NOT NULL"),
            postgresql_where=text("scores IS NOT NULL"),
        ),
        # And the few that report, or have reported, for a scanner.
        Index(
            "ix_classifier_scanner_id",
            "scanner_id",
            sqlite_where=text("scanner_id IS NOT NULL"),
            postgresql_where=text("scanner_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoder.id"))
    scanner_id: Mapped[int | None] = mapped_column(ForeignKey("scanner.id"))  # set on a reporting classifier
    version: Mapped[int]
    state: Mapped[str]  # "assist", "candidate", "reporting", "retired"
    name: Mapped[str] = mapped_column(default="", server_default="")  # given when it was kept as a candidate
    adapted: Mapped[str] = mapped_column(default="", server_default="")  # "both, aligned" and the like
    revision: Mapped[str] = mapped_column(default="", server_default="")  # of the code that fitted it
    head: Mapped[str]
    classes: Mapped[list[Any]] = mapped_column(JSON)  # codes, in the order of the probabilities
    labels: Mapped[int]  # how many it was fitted on
    labels_sha256: Mapped[str]
    newest_annotation_id: Mapped[int]
    cells_scored: Mapped[int]
    predicted: Mapped[dict[str, Any]] = mapped_column(JSON)  # how many cells it predicts per class code
    # Balanced accuracy on labels predicted unseen, as the fit itself finds it; `metrics` are more exact and come later.
    estimate: Mapped[float | None]
    metrics: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # cross-validation; follows shortly after the scores
    artifact: Mapped[str]
    scores: Mapped[str | None]
    fit_seconds: Mapped[float]  # fit and score
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
