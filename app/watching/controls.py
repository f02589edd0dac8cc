"""Control slides: a smear that is scanned again, and whether it is still seen the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import now
from app.errors import Conflict
from app.language import _
from app.models import ControlRun, Project, Scanner, Slide, User
from app.models.audit import record
from app.reports import queries as reports
from app.slides.service import create_slide

SHOWN = 20
OFFERED = 100
DIFFERENT = 0.01
"""Chance of counts as unlike as these, of two samples of one smear, below which a run is said to differ."""
FEWEST_EXPECTED = 5
"""Cells a class must be expected to have to be compared by itself (Cochran 1954, Biometrics 10:417)."""


@dataclass(frozen=True)
class Compared:
    """A run beside the first one: `counts` (first, again) by class code, "" for unclassified cells.

    `p_value` is that of the chi-squared test of equal shares, None as long as one of the two has no report.
    """

    run: ControlRun
    slide: Slide
    repeats: Slide
    counts: dict[str, tuple[int, int]]
    p_value: float | None

    @property
    def differs(self) -> bool:
        """Whether chance hardly explains it."""
        return self.p_value is not None and self.p_value < DIFFERENT


def add(session: Session, slide: Slide, accession: str, by: User) -> Slide:
    """Make a further run of a slide; its images are sent as those of any slide. Raises Conflict."""
    if session.get(ControlRun, slide.id):
        raise Conflict(_("This slide is a further run itself; choose the first one."))
    project, scanner = session.get_one(Project, slide.project_id), session.get_one(Scanner, slide.scanner_id)
    again = create_slide(session, project, accession, scanner, by)
    session.add(
        ControlRun(slide_id=again.id, repeats_id=slide.id, scanner_id=scanner.id, created_by=by.id, created_at=now())
    )
    record(session, "control.begun", by=by.id, project_id=project.id, scanner=scanner.name, accession=again.accession)
    return again


def choices(session: Session, scanner: Scanner) -> Sequence[Slide]:
    """Return slides of which a further run can be made, the newest first."""
    first = Slide.id.not_in(select(ControlRun.slide_id)) & Slide.state.in_(("needs_review", "signed"))
    query = select(Slide).where(Slide.scanner_id == scanner.id, first)
    return session.scalars(query.order_by(Slide.id.desc()).limit(OFFERED)).all()


def compared(session: Session, scanner: Scanner) -> list[Compared]:
    """Return the newest runs of a scanner, each beside its first one."""
    query = select(ControlRun).where(ControlRun.scanner_id == scanner.id)
    runs = session.scalars(query.order_by(ControlRun.slide_id.desc()).limit(SHOWN)).all()
    return [_compared(session, run) for run in runs]


def _compared(session: Session, run: ControlRun) -> Compared:
    slide, repeats = session.get_one(Slide, run.slide_id), session.get_one(Slide, run.repeats_id)
    first, again = _counts(session, repeats), _counts(session, slide)
    if not sum(first.values()) or not sum(again.values()):
        return Compared(run, slide, repeats, {}, None)
    counts = {code: (first.get(code, 0), again.get(code, 0)) for code in (*first, *(again.keys() - first.keys()))}
    return Compared(run, slide, repeats, counts, p_value([*counts.values()]))


def _counts(session: Session, slide: Slide) -> Mapping[str, int]:
    content = reports.report_of(session, reports.newest(session, slide), with_cells=False)
    if content is None:
        return {}
    singles = {row.code: row.count for row in content.rows if len(row.members) == 1}
    return {**singles, **{each.code: each.count for each in content.beside}, "": content.counted.unclassified}


def p_value(counts: Sequence[tuple[int, int]]) -> float:
    """Return the p-value of Pearson's chi-squared test of two samples; classes too rare for it are taken together."""
    table = np.array(counts, np.float64)
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    rare = (expected < FEWEST_EXPECTED).any(1)
    table = np.vstack([table[~rare], table[rare].sum(0)])
    table = table[table.sum(1) > 0]
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    return float(chdtrc(max(len(table) - 1, 1), (np.square(table - expected) / expected).sum()))
