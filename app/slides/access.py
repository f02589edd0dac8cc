"""Who may open a slide and add to it: whoever may open its project. Any other slide is not found."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser, current_user
from app.db import SessionDep, transaction
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Project, Slide, Upload, User
from app.projects.access import opens
from app.slides.states import refuse_signed


def find_slide(session: Session, slide_id: int, user: User) -> Slide:
    """Return a slide this person may see. Raises NotFound, for others' slides as for missing ones."""
    slide = session.get(Slide, slide_id)
    if slide is None or not opens(session, slide.project_id, user):
        raise NotFound(_("There is no such slide, or you are not a member of its project."))
    return slide


def viewable_slide(slide_id: PathId, user: CurrentUser, session: SessionDep) -> Slide:
    """Return the slide of the path. Raises NotFound."""
    return find_slide(session, slide_id, user)


def find_upload(session: Session, upload_id: int, user: User) -> Upload:
    """Return an upload to a slide this person may see. Raises NotFound."""
    upload = session.get(Upload, upload_id)
    if upload is None or not opens(session, session.get_one(Slide, upload.slide_id).project_id, user):
        raise NotFound(_("There is no such upload, or you are not a member of its project."))
    return upload


def viewable_upload(upload_id: PathId, user: CurrentUser, session: SessionDep) -> Upload:
    """Return the upload of the path. Raises NotFound."""
    return find_upload(session, upload_id, user)


@dataclass(frozen=True)
class Destination:
    """Where received files go: to an open upload, or to a new one of the slide when `upload_id` is None, of `kind`;
    `nameless` where the project is pseudonymous."""

    project_id: int
    slide_id: int
    user_id: int | None
    upload_id: int | None = None
    kind: str = "cells"
    nameless: bool = False


def slide_destination(slide_id: PathId, request: Request) -> Destination:
    """Check the rights before the body of a large request is read, in a transaction that is over by then: SQLite has
    one writer at a time, and a slow sender must not be the one. Raises NotSignedIn, Forbidden, NotFound or Conflict."""
    with transaction() as session:
        user = current_user(request, session)
        slide = find_slide(session, slide_id, user)
        refuse_signed(slide)
        return Destination(slide.project_id, slide.id, user.id, nameless=_nameless(session, slide))


def upload_destination(upload_id: PathId, request: Request) -> Destination:
    """The same for files that are added to an open upload."""
    with transaction() as session:
        user = current_user(request, session)
        upload = find_upload(session, upload_id, user)
        slide = session.get_one(Slide, upload.slide_id)
        return Destination(slide.project_id, slide.id, user.id, upload.id, nameless=_nameless(session, slide))


def _nameless(session: Session, slide: Slide) -> bool:
    return session.get_one(Project, slide.project_id).accession_key is not None


ViewableSlide = Annotated[Slide, Depends(viewable_slide)]
EditableSlide = Annotated[Slide, Depends(viewable_slide)]  # every member adds images
ViewableUpload = Annotated[Upload, Depends(viewable_upload)]
EditableUpload = Annotated[Upload, Depends(viewable_upload)]
SlideDestination = Annotated[Destination, Depends(slide_destination)]
UploadDestination = Annotated[Destination, Depends(upload_destination)]
