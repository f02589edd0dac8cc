"""Reads of reports. `report_of` is the one answer to what a report says; app/reports/content.py describes its shape."""

import hashlib
from collections.abc import Sequence
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app.config import software
from app.errors import AppError
from app.language import _
from app.models import Annotation, Cell, Classifier, Encoder, Project, Report, Scanner, Signature, Slide, User
from app.reports.content import CellLine, Content, Counted, Header, Made, SignedBy
from app.reports.correction import Shares
from app.reports.differential import (
    NONE,
    Confusion,
    Kind,
    beside_of,
    correction,
    flags_of,
    measured,
    rows_of,
    window,
)
from app.reports.settings import kinds_of, reporting_of
from app.reports.sheet import UNSEEN, Sheet, Source, sheet_of, source_of


class DamagedReportError(AppError):
    """A signed report is not what was signed."""


def newest(session: Session, slide: Slide) -> Report:
    """Return the newest version of the report of a slide, one that is not stored where nothing was written to it."""
    query = select(Report).where(Report.slide_id == slide.id).order_by(Report.version.desc()).limit(1)
    return session.scalar(query) or first_version(slide)


def first_version(slide: Slide) -> Report:
    """Return the first version of the report of a slide, open, without storing it."""
    return Report(
        project_id=slide.project_id, slide_id=slide.id, version=1, reason="", bound=False, preliminary=True,
        needs_second=False, created_at=slide.created_at,
    )  # fmt: skip


def state_of(report: Report, signed: Sequence[SignedBy]) -> Literal["open", "waiting", "signed"]:
    """Return how far a version is: open, waiting for its second signature, signed."""
    if report.sha256 is None:
        return "open"
    return "waiting" if report.needs_second and len(signed) < 2 else "signed"


def versions(session: Session, slide_id: int) -> Sequence[Report]:
    """Return all versions of the report of a slide, newest first."""
    return session.scalars(select(Report).where(Report.slide_id == slide_id).order_by(Report.version.desc())).all()


def signatures(session: Session, report: Report) -> list[SignedBy]:
    """Return who signed a version, in their order."""
    query = select(User.name, User.email, Signature.at).join(User, User.id == Signature.user_id)
    rows = session.execute(query.where(Signature.report_id == report.id).order_by(Signature.id))
    return [SignedBy(name=name, email=email, at=at) for name, email, at in rows]


def signers(session: Session, report: Report) -> set[int]:
    """Return the ids of those who signed a version."""
    return set(session.scalars(select(Signature.user_id).where(Signature.report_id == report.id)))


def report_of(session: Session, report: Report, *, with_cells: bool = True) -> Content | None:
    """Return what a report says: of a signed version what was signed, of an open one what holds now.

    None where the project has no classifier yet. `with_cells=False` spares an open one the list of its cells. Raises
    DamagedReportError.
    """
    if report.sha256 is None:
        return _present(session, report, with_cells=with_cells)
    stored = select(Report).where(Report.id == report.id).options(undefer(Report.content))
    content = session.scalars(stored.execution_options(populate_existing=True)).one().content or ""
    if hashlib.sha256(content.encode()).hexdigest() != report.sha256:
        raise DamagedReportError(
            _(
                "Version %(version)s of this report is not what was signed. Restore it from a backup.",
                version=report.version,
            )
        )
    return Content.model_validate_json(content)


def _present(session: Session, report: Report, *, with_cells: bool) -> Content | None:
    project = session.get_one(Project, report.project_id)
    reporting = reporting_of(session, project)
    source = source_of(session, report, reporting)
    if source is None:
        return None
    kinds = kinds_of(session, project, reporting)
    sheet = sheet_of(session, report.slide_id, source, kinds, ordered=with_cells or reporting.cells > 0)
    end = window(sheet.classes, kinds, reporting.cells)
    classes, seen = sheet.classes[:end], sheet.seen[:end]
    corrected = correction(kinds, classes, seen, confusion_of(source.classifier))
    rows = rows_of(kinds, classes, corrected if isinstance(corrected, Shares) else None, reporting)
    beside = beside_of(kinds, classes, reporting.loinc)
    unclassified = int((classes == NONE).sum())
    others = sum(each.count for _subject, each in beside)
    leukocytes = end - unclassified - others
    return Content(
        header=_header(session, report, project),
        made=_made(session, report, source),
        counted=Counted(
            wanted=reporting.cells,
            leukocytes=leukocytes,
            beside=others,
            unclassified=unclassified,
            unscored=sum(reason == UNSEEN for reason in sheet.why[:end]),
            beyond=len(sheet.classes) - end,
            seen=int(seen.sum()),
            more=max((row.more for _line, row in rows), default=0),
            within=reporting.within,
            not_corrected=corrected if isinstance(corrected, str) else "",
        ),
        rows=tuple(row for _line, row in rows),
        beside=tuple(each for _subject, each in beside),
        flags=tuple(flags_of(reporting.rules, measured(rows, beside, leukocytes, unclassified))),
        cells=tuple(_lines(session, sheet, kinds, end)) if with_cells else (),
    )


def confusion_of(classifier: Classifier) -> Confusion | None:
    """Return what a classifier is known to confuse: on labels held out in cross-validation, or validation cells.

    None before that.
    """
    metrics = classifier.metrics
    if metrics is None:
        return None
    return Confusion(tuple(metrics["classes"]), tuple(tuple(row) for row in metrics["confusion"]))


def _lines(session: Session, sheet: Sheet, kinds: Sequence[Kind], end: int) -> list[CellLine]:
    people = _people(
        session, [cell_id for (cell_id, _sha256), seen in zip(sheet.cells, sheet.seen, strict=True) if seen]
    )
    lines = []
    for at, (cell_id, sha256) in enumerate(sheet.cells):
        which = int(sheet.classes[at])
        scored = sheet.predicted[at] is not None
        line = CellLine(
            cell_id=cell_id,
            image_sha256=sha256,
            class_=kinds[which].code if which != NONE else None,
            how="person" if sheet.seen[at] else "unclassified" if which == NONE else "predicted",
            by=people.get(cell_id),
            predicted=sheet.predicted[at],
            probability=float(sheet.probability[at]) if scored else None,
            novelty=float(sheet.novelty[at]) if scored else None,
            why=sheet.why[at],
            counted=at < end,
        )
        lines.append(line)
    return lines


def _people(session: Session, cell_ids: Sequence[int]) -> dict[int, str]:
    """Return by cell who gave its class."""
    found: dict[int, str] = {}
    for start in range(0, len(cell_ids), 5000):
        query = (
            select(Cell.id, User.name)
            .join(Annotation, Annotation.id == Cell.annotation_id)
            .join(User, User.id == Annotation.user_id)
            .where(Cell.id.in_(cell_ids[start : start + 5000]))
        )
        found |= {row.id: row.name for row in session.execute(query)}
    return found


def _header(session: Session, report: Report, project: Project) -> Header:
    slide = session.get_one(Slide, report.slide_id)
    return Header(
        slide_id=slide.id,
        accession=slide.accession,
        project=project.name,
        scanner=session.get_one(Scanner, slide.scanner_id).name,
        received_at=slide.created_at,
        synthetic=project.synthetic,
        version=report.version,
        reason=report.reason,
        despite=(),
        despite_reason="",
    )


def _made(session: Session, report: Report, source: Source) -> Made:
    encoder = session.get_one(Encoder, source.classifier.encoder_id)
    return Made(
        classifier_id=source.classifier.id,
        classifier_version=source.classifier.version,
        classifier_state=source.classifier.state,
        preliminary=source.preliminary,
        encoder=encoder.name,
        encoder_sha256=encoder.sha256,
        scores_sha256=report.scores_sha256,
        reject_below=source.reject_below,
        software=software(),
        classified_at=report.classified_at,
    )
