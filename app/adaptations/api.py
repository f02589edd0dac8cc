"""REST endpoints of adaptations."""

from datetime import datetime
from typing import Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.adaptations import queries, service
from app.adaptations.forms import Decision, NewAdaptation
from app.db import SessionDep
from app.models import Adaptation, Scanner
from app.rest import PREFIX, rest_router
from app.scanners.access import ManagedScanner, ViewableScanner

router = rest_router("adaptations")


class AdaptationForm(NewAdaptation):
    """An adaptation to begin."""

    model_config = ConfigDict(extra="forbid")


class DecisionForm(Decision):
    """A decision for a candidate."""

    model_config = ConfigDict(extra="forbid")


class AdaptationItem(BaseModel):
    """Validation cells of a scanner, its labels, and how candidates do on these cells."""

    scanner_id: int
    seed: int = Field(description="What drew the validation cells.")
    validation_cells: list[int] = Field(description="Ids of cells that are kept out of every fit.")
    validated: int = Field(description="How many of them have a label.")
    labels: dict[str, int] = Field(description="Labels of this scanner to fit on, by class code.")
    comparing: bool
    comparison: dict[str, Any] | None = Field(
        description="What the newest comparison found: shift, shift_of_classes, and in comparison the candidates with "
        "their balanced accuracy on the validation cells and the recommended one; docs/new-scanner.md explains them."
    )
    adopting: bool = Field(description="A decision is being followed.")
    decision: dict[str, Any] | None = Field(
        description="The newest decision: candidate, reason, by, at, and in found the comparison it was made on."
    )
    created_at: datetime


def _item(session: Session, scanner: Scanner, adaptation: Adaptation) -> AdaptationItem:
    standing = queries.standing(session, scanner)
    return AdaptationItem(
        scanner_id=scanner.id,
        seed=adaptation.seed,
        validation_cells=adaptation.validation.tolist(),
        validated=standing.validated,
        labels=standing.labels,
        comparing=standing.comparing,
        comparison=adaptation.comparison,
        adopting=standing.adopting,
        decision=adaptation.decision,
        created_at=adaptation.created_at,
    )


@router.post("/scanners/{scanner_id}/adaptation", status_code=201, summary="Set validation cells aside")
def begin(scanner: ManagedScanner, form: AdaptationForm, user: CurrentUser, session: SessionDep) -> AdaptationItem:
    """Draw cells of a scanner at random that are never fitted on, and measure its shift; managers only."""
    return _item(session, scanner, service.begin(session, scanner, form, user))


@router.get("/scanners/{scanner_id}/adaptation", summary="Read an adaptation")
def read(scanner: ViewableScanner, session: SessionDep) -> AdaptationItem:
    """Say which cells are set aside, how many have a label, and what the newest comparison found."""
    return _item(session, scanner, queries.get(session, scanner))


@router.post("/scanners/{scanner_id}/adaptation/comparisons", status_code=202, summary="Compare candidates")
def compare(scanner: ManagedScanner, user: CurrentUser, session: SessionDep, response: Response) -> AdaptationItem:
    """Compare by the present labels what would serve the scanner best; managers only. The job is at `Location`."""
    adaptation = queries.get(session, scanner)
    response.headers["Location"] = f"{PREFIX}/jobs/{service.compare(session, adaptation, user)}"
    return _item(session, scanner, adaptation)


@router.post("/scanners/{scanner_id}/adaptation/decision", status_code=202, summary="Decide for a candidate")
def decide(
    scanner: ManagedScanner, form: DecisionForm, user: CurrentUser, session: SessionDep, response: Response
) -> AdaptationItem:
    """Let a candidate of the newest comparison report for the scanner; managers only. The job is at `Location`."""
    adaptation = queries.get(session, scanner)
    response.headers["Location"] = f"{PREFIX}/jobs/{service.decide(session, adaptation, form, user)}"
    return _item(session, scanner, adaptation)
