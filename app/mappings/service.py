"""Rules of mappings: each save is a version, and classes are found again by their id when their code was changed."""

from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db import now
from app.forms import refusal
from app.language import _
from app.mappings.rollup import Rolled, rolled
from app.models import CellClass, Classifier, ClassMapping, Project, User
from app.models.audit import record
from app.models.project import lock
from app.projects.queries import classes


def save(session: Session, project: Project, name: str, targets: Mapping[str, str], by: User) -> ClassMapping:
    """Save a version of a mapping, {class code: target or ""}; classes that are not named have none. Raises Invalid."""
    lock(session, project.id)
    known = classes(session, project)
    unknown = set(targets) - {each.code for each in known}
    if unknown:
        raise refusal({"targets": _("There is no class %(code)s.", code=min(unknown))})
    if not any(targets.values()):
        raise refusal({"targets": _("Give at least one class a counterpart.")})
    mine = (ClassMapping.project_id == project.id) & (ClassMapping.name == name)
    before = session.scalar(select(func.max(ClassMapping.version)).where(mine)) or 0
    rows = [
        {"class_id": each.id, "code": each.code, "name": each.name, "target": targets.get(each.code, "")}
        for each in known
    ]
    mapping = ClassMapping(
        project_id=project.id, name=name, version=before + 1, rows=rows, created_by=by.id, created_at=now()
    )
    session.add(mapping)
    session.flush()
    record(session, "mapping.saved", by=by.id, project_id=project.id, name=name, version=mapping.version)
    return mapping


def newest(session: Session, project: Project) -> Sequence[ClassMapping]:
    """Return the newest version of each mapping of a project, by name."""
    mine = select(func.max(ClassMapping.id)).where(ClassMapping.project_id == project.id).group_by(ClassMapping.name)
    return session.scalars(select(ClassMapping).where(ClassMapping.id.in_(mine)).order_by(ClassMapping.name)).all()


def versions(session: Session, mapping: ClassMapping) -> Sequence[ClassMapping]:
    """Return all versions of a mapping, newest first."""
    same = (ClassMapping.project_id == mapping.project_id) & (ClassMapping.name == mapping.name)
    return session.scalars(select(ClassMapping).where(same).order_by(ClassMapping.version.desc())).all()


def evaluated(session: Session, mapping: ClassMapping, classifier_id: int | None = None) -> Classifier | None:
    """Return a classifier of the project with metrics: the newest that helps to label, or the one of this id."""
    query = select(Classifier).where(Classifier.project_id == mapping.project_id, Classifier.metrics.is_not(None))
    which = Classifier.adapted == "" if classifier_id is None else Classifier.id == classifier_id
    query = query.where(which)
    return session.scalar(query.order_by(Classifier.version.desc()).limit(1))


def metrics_under(session: Session, mapping: ClassMapping, classifier: Classifier) -> Rolled:
    """Return the metrics of a classifier under a mapping, also where codes changed since either was made."""
    target_of = {row["code"]: row["target"] for row in mapping.rows}
    by_id = {row["class_id"]: row["target"] for row in mapping.rows}
    now_called = session.scalars(select(CellClass).where(CellClass.project_id == mapping.project_id))
    renamed = {each.code: by_id[each.id] for each in now_called if each.id in by_id}
    # A code given to another class since means, in the metrics, the class that had it when the classifier was fitted.
    fitted_after = classifier.created_at > mapping.created_at
    return rolled(classifier.metrics or {}, target_of | renamed if fitted_after else renamed | target_of)
