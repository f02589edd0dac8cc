"""The life of a run: begun, paused, resumed, cancelled. A worker trains (workers/continuing.py)."""

from sqlalchemy.orm import Session

from app import jobs, leases
from app.db import now
from app.errors import Conflict
from app.forms import refusal
from app.language import _, ngettext
from app.models import Pretraining, Project, Scanner, User
from app.models.audit import record
from app.models.project import lock
from app.pretraining import queries
from app.pretraining.forms import NewRun

FEWEST_CELLS = 256  # with fewer, the directions in which cells differ cannot be found


def begin(session: Session, project: Project, form: NewRun, by: User) -> Pretraining:
    """Begin to train the encoder of a project further.

    Raises Invalid for an unknown scanner or too few cells, Conflict while an earlier run has not ended.
    """
    lock(session, project.id)
    scanner = session.get(Scanner, form.scanner_id) if form.scanner_id else None
    if form.scanner_id and (scanner is None or scanner.project_id != project.id):
        raise refusal({"scanner_id": _("This project has no such scanner.")})
    found = queries.cells(session, project.id, form.scanner_id)
    if found < FEWEST_CELLS:
        text = ngettext("There is %(num)s cell, and %(fewest)s are needed: upload more.",
                        "There are %(num)s cells, and %(fewest)s are needed: upload more.",
                        found, fewest=FEWEST_CELLS)  # fmt: skip
        raise refusal({"scanner_id": text})
    if queries.open_run(session, project):
        raise Conflict(_("An encoder is being trained already. Wait for its end, or cancel it."))
    run = Pretraining(
        project_id=project.id,
        scanner_id=form.scanner_id,
        start_encoder_id=project.encoder_id,
        epochs=form.epochs,
        most_images=form.most_images,
        state="wanted",
        log=[],
        created_by=by.id,
        created_at=now(),
    )
    session.add(run)
    session.flush()
    _record(session, "begun", run, by, scanner=scanner.name if scanner else None, epochs=form.epochs)
    jobs.pretrain(session, project.id, run.id)
    return run


def pause(session: Session, run: Pretraining, by: User) -> None:
    """Let the worker stop soon, so that it can go on from there. Raises Conflict if the run has ended or rests."""
    _must_be(run, "wanted")
    run.state = "paused"
    _record(session, "paused", run, by)


def resume(session: Session, run: Pretraining, by: User) -> int:
    """Go on with a paused run, or one that was given up; returns the job id. Raises Conflict for any other."""
    job = queries.newest_job(session, run.id)
    if run.state == "wanted" and job and job.state == "dead":
        leases.retry(session, job)
    else:
        _must_be(run, "paused")
        run.state = "wanted"
        _record(session, "resumed", run, by)
    return jobs.pretrain(session, run.project_id, run.id)


def cancel(session: Session, run: Pretraining, by: User) -> None:
    """End a run for good; what it had reached is thrown away. Raises Conflict if it has ended."""
    _must_be(run, "wanted", "paused")
    run.state, run.ended_at = "cancelled", now()
    _record(session, "cancelled", run, by)
    jobs.pretrain(session, run.project_id, run.id)  # which clears its folder away


def _must_be(run: Pretraining, *states: str) -> None:
    if run.state not in states:
        raise Conflict(_("This run cannot do that any more. Load the page again to see where it stands."))


def _record(session: Session, what: str, run: Pretraining, by: User, **detail: object) -> None:
    record(session, f"pretraining.{what}", by=by.id, project_id=run.project_id, run=run.id, **detail)
