"""Setting validation cells of a scanner aside, giving them to people to label, and asking for a comparison."""

import secrets

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from app import jobs
from app.adaptations import queries
from app.adaptations.forms import Decision, NewAdaptation
from app.adaptations.steps import SPOT_CHECK
from app.cells.index import Columns, columns_of
from app.cells.sampling import scattered
from app.db import now
from app.errors import Conflict
from app.forms import refusal
from app.language import N_, _, ngettext
from app.models import Adaptation, Batch, Project, Scanner, User
from app.models.audit import record
from app.models.project import lock
from app.predictions.batches import serve

WANTED_CELLS = 200  # without a label, of the scanner; with fewer the page says that figures will be vague


def begin(session: Session, scanner: Scanner, form: NewAdaptation, by: User) -> Adaptation:
    """Draw validation cells of a scanner at random and keep them out of every fit from now on.

    Raises Conflict if that was done before, Invalid if the scanner has too few cells without a label.
    """
    lock(session, scanner.project_id)
    if queries.find(session, scanner):
        raise Conflict(_("Validation cells of this scanner are set aside already."))
    columns = columns_of(session, scanner.project_id)
    free = _drawable(columns, scanner)
    fewest = 2 * form.cells
    if len(free) < fewest:
        text = ngettext("This scanner has %(num)s different cell without a label; %(fewest)s are needed.",
                        "This scanner has %(num)s different cells without a label; %(fewest)s are needed.",
                        len(free), fewest=fewest)  # fmt: skip
        raise refusal({"cells": text})
    seed = secrets.randbelow(2**31)
    chosen = np.sort(np.random.default_rng(seed).choice(free, form.cells, replace=False))
    adaptation = Adaptation(
        project_id=scanner.project_id,
        scanner_id=scanner.id,
        seed=seed,
        validation=chosen,
        comparison=None,
        decision=None,
        created_by=by.id,
        created_at=now(),
    )
    session.add(adaptation)
    session.flush()
    record(
        session, "adaptation.begun", by=by.id, project_id=scanner.project_id, scanner=scanner.name,
        validation=len(chosen), seed=seed,
    )  # fmt: skip
    jobs.fit_classifier(session, scanner.project_id)  # the present one may have learnt from these cells, unlabelled
    jobs.compare_candidates(session, scanner.project_id, adaptation.id)
    return adaptation


def _drawable(columns: Columns, scanner: Scanner) -> npt.NDArray[np.int64]:
    """Return cells of a scanner of which no image, nor another cell with the same, has a label; one of each image."""
    mine = columns.scanner_ids == scanner.id
    mine &= ~np.isin(columns.image_ids, columns.image_ids[columns.class_ids > 0]) & ~columns.frozen & ~columns.removed
    rows = np.flatnonzero(mine)
    first: npt.NDArray[np.int64] = columns.cell_ids[rows[np.unique(columns.image_ids[rows], return_index=True)[1]]]
    return first


def validation_batch(session: Session, adaptation: Adaptation, user: User) -> Batch:
    """Give a person the next validation cells without a label, at random. Raises Conflict where none is left.

    Whoever stops early has labelled a random part of them, so that the first ones give an honest accuracy already.
    """
    columns = columns_of(session, adaptation.project_id)
    places = columns.places(adaptation.validation)
    open_ = adaptation.validation[(places >= 0) & (columns.class_ids[places] == 0) & ~columns.removed[places]]
    if not len(open_):
        raise Conflict(_("Every validation cell has its label."))
    note = N_("Cells drawn at random to tell how well this scanner is served. Their predictions stay hidden.")
    project = session.get_one(Project, adaptation.project_id)
    some = open_[np.argsort(scattered(open_, str(adaptation.seed)))[:SPOT_CHECK]]
    return serve(session, project, user, Batch(kind="validation", cell_ids=some, note=note, reasons={}))


def compare(session: Session, adaptation: Adaptation, by: User) -> int:
    """Ask for a comparison by the present labels; returns the job id."""
    record(session, "adaptation.comparison_started", by=by.id, project_id=adaptation.project_id)
    return jobs.compare_candidates(session, adaptation.project_id, adaptation.id)


def decide(session: Session, adaptation: Adaptation, form: Decision, by: User) -> int:
    """Let a candidate of the newest comparison report for the scanner; returns the id of the job that does it.

    It is fitted on exactly what the comparison judged. Raises Invalid for another candidate, Conflict while something
    is under way or the project has moved to another encoder.
    """
    lock(session, adaptation.project_id)
    session.refresh(adaptation)
    if queries.is_open(session, adaptation):
        raise Conflict(_("A comparison or a decision is under way. Wait for it, then decide."))
    found = adaptation.comparison
    candidates = found["comparison"]["candidates"] if found and found["comparison"] else []
    chosen = next((each for each in candidates if each["name"] == form.candidate), None)
    if found is None or chosen is None:
        raise refusal({"candidate": _("The newest comparison has no such candidate.")})
    if found["encoder_id"] != session.get_one(Project, adaptation.project_id).encoder_id:
        raise Conflict(_("The project has moved to another encoder since the comparison. Compare again."))
    adaptation.decision = {
        "candidate": form.candidate, "reason": form.reason, "by": by.name, "at": now().isoformat(), "found": found,
    }  # fmt: skip
    chosen = {"encoder_id": found["encoder_id"], "metrics": None, **chosen}  # an older comparison does not name them
    scanner = session.get_one(Scanner, adaptation.scanner_id)
    record(
        session, "adaptation.decided", by=by.id, project_id=adaptation.project_id, scanner=scanner.name,
        candidate=form.candidate, reason=form.reason,
    )  # fmt: skip
    return jobs.adopt_candidate(
        session, adaptation.project_id, adaptation.id, user_id=by.id, candidate=chosen, reason=form.reason
    )
