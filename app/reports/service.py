"""The life of a report: predictions, corrections, signatures, amendments. Every step is audited.

A report is open until it is signed. Signing stores what it says as JSON with its sha256 and nothing changes that any
more; whoever wants something else opens a further version and says why.
"""

import hashlib

from safetensors.numpy import save
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.annotations import service as annotations
from app.annotations.service import Labelled
from app.db import now
from app.errors import Conflict, NotFound
from app.events import publish
from app.forms import refusal
from app.language import N_, _
from app.models import Cell, Classifier, Project, Report, Signature, Slide, User
from app.models.audit import record
from app.models.project import lock
from app.predictions.scores import newest_classifier
from app.reports import queries
from app.reports.content import Content
from app.reports.forms import CorrectionForm, SignForm
from app.reports.settings import reporting_of
from app.reports.sheet import source_of
from app.slides import states

PRELIMINARY = N_("The classifier is preliminary: nobody has activated it for this scanner.")


def reporting_classifier(session: Session, scanner_id: int) -> Classifier | None:
    """Return the classifier that reports for a scanner."""
    return session.scalar(
        select(Classifier).where(Classifier.scanner_id == scanner_id, Classifier.state == "reporting")
    )


def newer_classifier(session: Session, report: Report) -> Classifier | None:
    """Return the classifier that would classify an open report anew, None if it is the one it has or follows."""
    if report.sha256 is not None or not report.bound:
        return None
    slide = session.get_one(Slide, report.slide_id)
    reporting = reporting_classifier(session, slide.scanner_id)
    best = reporting or newest_classifier(session, report.project_id)
    same = best is None or (best.id, reporting is None) == (report.classifier_id, report.preliminary)
    return None if same else best


def stored(session: Session, slide: Slide) -> Report:
    """Return the newest version of the report of a slide; the first one is stored if it was not."""
    report = queries.newest(session, slide)
    if report not in session:
        report.created_at = now()
        session.add(report)
        session.flush()
    return report


def open_report(session: Session, slide: Slide) -> Report:
    """Return the open version of the report of a slide. Raises Conflict if it is signed."""
    lock(session, slide.project_id)
    report = stored(session, slide)
    if report.sha256 is not None:
        raise Conflict(_("This report is signed. Amend it to change something; say why."))
    return report


def classify(session: Session, report: Report, classifier: Classifier, scores: bytes, *, preliminary: bool) -> None:
    """Give an open report its predictions. `scores` is the score table of the slide's cells."""
    reporting = reporting_of(session, session.get_one(Project, report.project_id))
    report.classifier_id, report.preliminary = classifier.id, preliminary
    report.scores, report.scores_sha256 = scores, hashlib.sha256(scores).hexdigest()
    report.reject_below, report.classified_at = reporting.reject_below, now()
    if not preliminary:
        slide = session.get_one(Slide, report.slide_id)
        jobs.watch_day(session, slide.project_id, slide.scanner_id, slide.created_at.date())
    _tell(session, report)


def bind(session: Session, report: Report) -> None:
    """Let a report keep the predictions it has."""
    report.bound = True
    classifier = session.get_one(Classifier, report.classifier_id)
    _note(session, "report.classified", report, None, classifier=classifier.version, preliminary=report.preliminary)


def _keep(session: Session, report: Report) -> None:
    """Let a report keep the predictions it shows, as from now on a person works on it. Raises Conflict without any."""
    if report.bound:
        return
    source = source_of(session, report, reporting_of(session, session.get_one(Project, report.project_id)))
    if source is None:
        raise Conflict(_("There is no classifier yet, so there is no report to work on."))
    classify(session, report, source.classifier, save(source.table), preliminary=source.preliminary)
    bind(session, report)


def correct(session: Session, slide: Slide, form: CorrectionForm, by: User) -> Labelled:
    """Give cells of a slide another class. Raises Conflict if the report is signed, NotFound for other cells."""
    report = open_report(session, slide)
    wanted = {item.cell_id for item in form.items}
    mine = set(session.scalars(select(Cell.id).where(Cell.id.in_(wanted), Cell.slide_id == slide.id)))
    if foreign := sorted(wanted - mine):
        raise NotFound(_("cell_id: this slide has no cell %(cell)s.", cell=foreign[0]))
    _keep(session, report)
    project = session.get_one(Project, slide.project_id)
    result = annotations.label(session, project, form.items, action=form.action, source="review", by=by)
    _tell(session, report)
    return result


def classify_again(session: Session, slide: Slide, by: User) -> None:
    """Take new predictions: of the reporting classifier, or of the newest as long as there is none."""
    report = open_report(session, slide)
    _note(session, "report.classified_again", report, by)
    if reporting_classifier(session, slide.scanner_id):
        jobs.classify_slides(session, slide.project_id, [slide.id], again=True)
    else:
        report.bound = False


def despite(content: Content) -> list[str]:
    """Return what is not as it should be when a report is signed; each needs a reason."""
    found = [PRELIMINARY] if content.made.preliminary else []
    if count := content.counted.unclassified:
        found.append(N_("Unclassified cells: %(count)s") % {"count": count})
    return found


def digest(content: Content) -> str:
    """Return what names the present state of an open report: the sha256 of its JSON."""
    return hashlib.sha256(content.model_dump_json(by_alias=True).encode()).hexdigest()


def sign(session: Session, slide: Slide, form: SignForm, by: User) -> Report:
    """Sign the open version. Raises Conflict if it is not what the person saw, Invalid if a reason is missing."""
    report = open_report(session, slide)
    _require_review(slide)
    seen = queries.report_of(session, report)
    if seen is None or form.seen != digest(seen):
        raise Conflict(_("The report has changed since you opened it. Look at it again, then sign."))
    doubts = despite(seen)
    if doubts and not form.reason:
        raise refusal({"reason": _("Say why it may be signed all the same.")})
    _keep(session, report)
    content = queries.report_of(session, report) or seen
    header = content.header.model_copy(update={"despite": tuple(doubts), "despite_reason": form.reason})
    report.content = content.model_copy(update={"header": header}).model_dump_json(by_alias=True)
    report.sha256 = hashlib.sha256(report.content.encode()).hexdigest()
    report.needs_second = reporting_of(session, session.get_one(Project, slide.project_id)).second_signature
    _signature(session, report, slide, by)
    return report


def countersign(session: Session, slide: Slide, by: User) -> Report:
    """Sign a version a second time. Raises Conflict if none waits for it, or if the person has signed it already."""
    lock(session, slide.project_id)
    report = stored(session, slide)
    _require_review(slide)
    signed = queries.signers(session, report)
    if report.sha256 is None or not report.needs_second or len(signed) != 1:
        raise Conflict(_("This report does not wait for a second signature."))
    if by.id in signed:
        raise Conflict(_("You have signed this version; the second signature is another person's."))
    _signature(session, report, slide, by)
    return report


def _require_review(slide: Slide) -> None:
    if slide.state != "needs_review":
        raise Conflict(_("The images of this slide are still being received or prepared, or it is signed."))


def _signature(session: Session, report: Report, slide: Slide, by: User) -> None:
    session.add(Signature(report_id=report.id, user_id=by.id, at=now()))
    session.flush()
    _note(session, "report.signed", report, by, sha256=report.sha256)
    if queries.state_of(report, queries.signatures(session, report)) == "signed":
        states.move(session, slide, "signed")


def amend(session: Session, slide: Slide, reason: str, by: User) -> Report:
    """Open a further version of a signed report. Raises Conflict if the newest is not signed."""
    lock(session, slide.project_id)
    before = stored(session, slide)
    if before.sha256 is None:
        raise Conflict(_("This report is open; there is nothing to amend."))
    report = Report(
        project_id=before.project_id,
        slide_id=before.slide_id,
        version=before.version + 1,
        reason=reason,
        classifier_id=before.classifier_id,
        bound=True,
        preliminary=before.preliminary,
        reject_below=before.reject_below,
        scores=session.scalar(select(Report.scores).where(Report.id == before.id)),
        scores_sha256=before.scores_sha256,
        classified_at=before.classified_at,
        needs_second=False,
        created_at=now(),
    )
    session.add(report)
    session.flush()
    _note(session, "report.amended", report, by, reason=reason)
    states.move(session, slide, "needs_review", reason=reason)
    return report


def _note(session: Session, what: str, report: Report, by: User | None, **detail: object) -> None:
    """Audit a step and tell everybody who has the project open."""
    slide = session.get_one(Slide, report.slide_id)
    where = {"accession": slide.accession, "version": report.version}
    record(session, what, by=by.id if by else None, project_id=report.project_id, **where, **detail)
    _tell(session, report)


def _tell(session: Session, report: Report) -> None:
    publish(session, report.project_id, "report", {"slide_id": report.slide_id, "version": report.version})
