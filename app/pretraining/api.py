"""REST endpoints of training an encoder further."""

from datetime import datetime
from typing import Literal

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.models import Pretraining
from app.pretraining import queries, service
from app.pretraining.access import ManagedRun, ViewableRun
from app.pretraining.forms import NewRun
from app.projects.access import ManagedProject, ViewableProject
from app.rest import PREFIX, Page, PagingQuery, rest_router, rows_of_page

Phase = Literal["waiting", "running", "pausing", "paused", "cancelled", "failed", "done"]

router = rest_router("pretrainings")


class RunForm(NewRun):
    """A run to begin."""

    model_config = ConfigDict(extra="forbid")


class EncoderOfRun(BaseModel):
    """An encoder; `id` is what moving a project to it takes."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    sha256: str


class Epoch(BaseModel):
    """What was seen after an epoch, without any label."""

    epoch: int
    loss: float
    same_cell: float = Field(description="Share of cells found again among other views of all.")
    rank: float = Field(description="Effective number of directions in which cells differ.")
    spread: float = Field(description="0: all cells look alike to the encoder.")


class RunItem(BaseModel):
    """A run that trains an encoder further on a project's own cells, without labels."""

    id: int
    project_id: int
    scanner_id: int | None
    state: Phase
    epochs: int
    most_images: int
    start: EncoderOfRun
    encoder: EncoderOfRun | None = Field(description="What came out, once it is done.")
    log: list[Epoch]
    seconds_left: float | None
    problem: str
    created_at: datetime
    ended_at: datetime | None


def _item(session: Session, run: Pretraining) -> RunItem:
    found = queries.view(session, run)
    return RunItem(
        id=run.id,
        project_id=run.project_id,
        scanner_id=run.scanner_id,
        state=found.phase,
        epochs=run.epochs,
        most_images=run.most_images,
        start=EncoderOfRun.model_validate(found.start),
        encoder=found.result and EncoderOfRun.model_validate(found.result),
        log=[Epoch.model_validate(entry) for entry in run.log],
        seconds_left=run.seconds_left,
        problem=found.problem,
        created_at=run.created_at,
        ended_at=run.ended_at,
    )


@router.post("/projects/{project_id}/pretrainings", status_code=202, summary="Train the encoder further")
def begin(
    project: ManagedProject, form: RunForm, user: CurrentUser, session: SessionDep, response: Response
) -> RunItem:
    """Train the encoder of a project further on its unlabelled cells; managers only. Hours on a processor, minutes on
    a graphics card. The job is at `Location`; the project goes on with its present encoder."""
    run = service.begin(session, project, form, user)
    response.headers["Location"] = _job(session, run)
    return _item(session, run)


@router.get("/projects/{project_id}/pretrainings", summary="List training runs")
def index(project: ViewableProject, session: SessionDep, paging: PagingQuery) -> Page[RunItem]:
    """List the runs of a project."""
    query = select(Pretraining.id, Pretraining).where(Pretraining.project_id == project.id)
    rows, next_cursor = rows_of_page(session, query, Pretraining.id, paging)
    return Page(items=[_item(session, row.Pretraining) for row in rows], next_cursor=next_cursor)


@router.get("/pretrainings/{run_id}", summary="Read a training run")
def read(run: ViewableRun, session: SessionDep) -> RunItem:
    """Say how far a run is and what it has seen."""
    return _item(session, run)


@router.post("/pretrainings/{run_id}/pause", summary="Pause a training run")
def pause(run: ManagedRun, user: CurrentUser, session: SessionDep) -> RunItem:
    """Let a run stop where it is; managers only."""
    service.pause(session, run, user)
    return _item(session, run)


@router.post("/pretrainings/{run_id}/resume", status_code=202, summary="Resume a training run")
def resume(run: ManagedRun, user: CurrentUser, session: SessionDep, response: Response) -> RunItem:
    """Go on with a run that was paused or given up; managers only."""
    service.resume(session, run, user)
    response.headers["Location"] = _job(session, run)
    return _item(session, run)


@router.post("/pretrainings/{run_id}/cancel", summary="Cancel a training run")
def cancel(run: ManagedRun, user: CurrentUser, session: SessionDep) -> RunItem:
    """End a run for good; managers only."""
    service.cancel(session, run, user)
    return _item(session, run)


def _job(session: Session, run: Pretraining) -> str:
    job = queries.newest_job(session, run.id)
    return f"{PREFIX}/jobs/{job.id if job else 0}"
