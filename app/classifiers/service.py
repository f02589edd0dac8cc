"""Which versions are kept, and which classifier reports for a scanner."""

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app import jobs
from app.classifiers import queries
from app.errors import Conflict
from app.events import publish
from app.language import _
from app.models import Classifier, Report, Scanner, Slide, User
from app.models.audit import record
from app.models.project import lock
from app.webhooks.service import announce


def keep(session: Session, classifier: Classifier, name: str, by: User) -> None:
    """Keep a version as a candidate under a name, or give it another name. Raises Conflict if its scores are gone."""
    lock(session, classifier.project_id)
    session.refresh(classifier)  # a fit may have let go of its score table while we waited
    _require_scores(classifier)
    if classifier.name == name:
        return
    classifier.name = name
    if classifier.state == "assist":
        classifier.state = "candidate"
    record(
        session, "classifier.kept", by=by.id, project_id=classifier.project_id, version=classifier.version, name=name
    )


def roll_back(session: Session, scanner: Scanner, by: User) -> Classifier:
    """Make the version before the reporting one of a scanner report again. Raises Conflict if there was none."""
    lock(session, scanner.project_id)
    before = queries.previous(session, scanner)
    if before is None:
        raise Conflict(_("No other version has reported for scanner %(name)s.", name=scanner.name))
    activate(session, before, scanner, by, reason=_("Rolled back"))
    return before


def activate(session: Session, classifier: Classifier, scanner: Scanner, by: User, *, reason: str = "") -> None:
    """Make a version the reporting classifier of a scanner; the one before is retired and can be activated again.

    Its score table is kept from now on. Open reports of the scanner that have followed the newest version are made by
    this one; those on which people work keep theirs. Raises Conflict if the score table is gone already, or if the
    version reports for another scanner.
    """
    lock(session, classifier.project_id)
    session.refresh(classifier)  # a fit may have let go of its score table while we waited
    if classifier.state == "reporting" and classifier.scanner_id == scanner.id:
        return
    if classifier.state == "reporting":
        raise Conflict(
            _(
                "Version %(version)s already reports for another scanner; a version serves one.",
                version=classifier.version,
            )
        )
    if classifier.adapted and classifier.scanner_id != scanner.id:
        raise Conflict(_("This version was made for another scanner and knows no other."))
    _require_scores(classifier)
    before = session.scalar(
        select(Classifier).where(Classifier.scanner_id == scanner.id, Classifier.state == "reporting")
    )
    if before is not None:
        before.state = "retired"
    classifier.state, classifier.scanner_id = "reporting", scanner.id
    record(
        session,
        "classifier.activated",
        by=by.id,
        project_id=classifier.project_id,
        scanner_id=scanner.id,
        old=before.version if before else None,
        new=classifier.version,
        **({"reason": reason} if reason else {}),
    )
    jobs.classify_slides(session, classifier.project_id, _following(session, scanner))
    activated = {"version": classifier.version, "classifier_id": classifier.id, "scanner_id": scanner.id}
    publish(session, classifier.project_id, "activated", activated)
    announce(session, classifier.project_id, "classifier.activated", activated)


def _require_scores(classifier: Classifier) -> None:
    if classifier.scores is None:
        raise Conflict(
            _(
                "The scores of version %(version)s are no longer kept. Choose a newer version.",
                version=classifier.version,
            )
        )


def _following(session: Session, scanner: Scanner) -> Sequence[int]:
    """Return the slides of a scanner to be reviewed whose reports are not bound to a classifier yet."""
    mine = (Slide.project_id == scanner.project_id) & (Slide.scanner_id == scanner.id) & (Slide.state == "needs_review")
    bound = exists().where(Report.slide_id == Slide.id, Report.bound)
    return session.scalars(select(Slide.id).where(mine, ~bound).order_by(Slide.id)).all()
