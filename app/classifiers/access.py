"""Who may change the state of a classifier: managers."""

from typing import Annotated

from fastapi import Depends

from app.accounts.access import Manager
from app.db import SessionDep
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Classifier
from app.projects.access import opens


def managed_classifier(classifier_id: PathId, user: Manager, session: SessionDep) -> Classifier:
    """Return the classifier of the path. Raises Forbidden or NotFound."""
    classifier = session.get(Classifier, classifier_id)
    if classifier is None or not opens(session, classifier.project_id, user):
        raise NotFound(_("There is no such classifier, or you are not a member of its project."))
    return classifier


ManagedClassifier = Annotated[Classifier, Depends(managed_classifier)]
