"""Pages of the slides: the list, one slide with its uploads, and the routes a browser sends files to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from app import events
from app.accounts.access import CurrentUser
from app.db import SessionDep, transaction
from app.errors import Conflict, Invalid, NotFound
from app.forms import FormValues, PageId, fields, parse, reasons_of, refusal
from app.language import _
from app.models import Project, Slide, SlideState, Upload
from app.projects.access import ViewableProject, find_project
from app.scanners.queries import alarms as alarms_of
from app.scanners.queries import scanners as scanners_of
from app.slides import queries, receiving, service, states
from app.slides.access import (
    EditableSlide,
    EditableUpload,
    SlideDestination,
    UploadDestination,
    ViewableSlide,
    ViewableUpload,
)
from app.slides.forms import NewSlide, NewUpload, kind_of, received_files
from app.templating import render

LISTED_REFUSALS = 1000

router = APIRouter(tags=["slides"])


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _address(slide: Slide) -> str:
    return f"/projects/{slide.project_id}/slides/{slide.id}"


def _of_project(slide: Slide, project: Project) -> None:
    if slide.project_id != project.id:
        raise NotFound(_("There is no such slide in this project."))


@router.get("/projects/{project_id}/slides")
def slides(request: Request, project: ViewableProject, session: SessionDep, before: PageId = None) -> Response:
    """List the slides, newest first, with the form for a new one."""
    return _list_page(request, session, project, fields(), before=before)


def _list_page(
    request: Request,
    session: Session,
    project: Project,
    values: Mapping[str, Any],
    *,
    before: int | None = None,
    error: Invalid | Conflict | None = None,
) -> Response:
    rows = queries.page(session, project, before)
    scanners = scanners_of(session, project)
    older = rows[queries.PAGE - 1].slide.id if len(rows) > queries.PAGE else None
    return render(
        request,
        "slides/list.html",
        status=error.status if error else 200,
        active="slides",
        project=project,
        alarms=alarms_of(session, project.id),
        rows=rows[: queries.PAGE],
        older=older,
        state_names=states.NAMES,
        scanners=scanners,
        scanner_options=[(scanner.id, scanner.name) for scanner in scanners],
        values=values,
        errors=reasons_of(error),
    )


@router.post("/projects/{project_id}/slides")
def create(
    request: Request, project: ViewableProject, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Create a slide and go to its page, where images are added."""
    try:
        form = parse(NewSlide, values)
        scanner = service.scanner_of(session, project, form.scanner_id)
        slide = service.create_slide(session, project, form.accession, scanner, user)
    except (Invalid, Conflict) as error:
        return _list_page(request, session, project, _shown_again(project, values), error=error)
    return RedirectResponse(_address(slide), 303)


def _shown_again(project: Project, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a refused form shows; no answer of a pseudonymous project holds an accession."""
    return fields(**{**values, "accession": "", "wanted": ""}) if project.accession_key else values


@router.post("/projects/{project_id}/slides/find")
def find(request: Request, project: ViewableProject, session: SessionDep, values: FormValues) -> Response:
    """Go to the slide of an accession; not a GET, so that it is in no address that browsers and proxies keep."""
    slide = service.find_by_accession(session, project, str(values["wanted"]).strip())
    if slide is None:
        error = refusal({"wanted": _("This project has no slide with this accession.")})
        return _list_page(request, session, project, _shown_again(project, values), error=error)
    return RedirectResponse(_address(slide), 303)


@router.get("/projects/{project_id}/slides/{slide_id}")
def slide_page(request: Request, project: ViewableProject, slide: ViewableSlide, session: SessionDep) -> Response:
    """Show a slide, where to drop images, and how far its uploads are; scripts get the part that changes."""
    _of_project(slide, project)
    last_event = events.newest(session)  # before all else: what comes later is sent to the page
    counts = queries.counts(session, project, slide)
    uploads = queries.uploads(session, slide)
    unfinished = any(view.phase in {"sending", "unpacking"} for view in uploads)
    sending = any(view.upload.completed_at is None for view in uploads)
    return render(
        request,
        "slides/slide.html",
        block="progress",
        active="slides",
        last_event=last_event,
        project=project,
        slide=slide,
        scanner=service.scanner_of(session, project, slide.scanner_id),
        counts=counts,
        slide_fields=queries.fields_of(session, slide),
        uploads=uploads,
        originals_due=queries.originals_due(session, project, slide),
        states=_since_received(queries.states(session, slide)),
        state_names=states.NAMES,
        may_complete=slide.state == "receiving" and bool(counts.cells or uploads) and not sending,
        busy=unfinished or slide.state in {"queued", "processing"} or counts.embedded < counts.cells,
    )


def _since_received(found: Sequence[SlideState]) -> Sequence[SlideState]:
    """Leave out how often a slide was opened again for more images."""
    last = max((at for at, each in enumerate(found) if each.state == "receiving"), default=0)
    return found[last:]


@router.post("/slides/{slide_id}/complete")
def complete_slide(slide: EditableSlide, session: SessionDep) -> Response:
    """Say that all images of a slide were sent."""
    states.complete(session, slide)
    return RedirectResponse(_address(slide), 303)


@router.get("/uploads/{upload_id}/refused")
def refused_page(request: Request, upload: ViewableUpload, user: CurrentUser, session: SessionDep) -> Response:
    """List all refused files of an upload, as far as they were kept."""
    slide = session.get_one(Slide, upload.slide_id)
    return render(
        request,
        "slides/refused.html",
        active="slides",
        project=find_project(session, slide.project_id, user),
        slide=slide,
        upload=upload,
        refusals=queries.refusals(session, upload, LISTED_REFUSALS),
    )


@router.post("/slides/{slide_id}/uploads", status_code=201)
def begin_upload(slide: EditableSlide, form: NewUpload, user: CurrentUser, session: SessionDep) -> dict[str, int]:
    """Announce an upload; its files follow in as many requests as its sender likes."""
    upload = service.begin_upload(
        session, slide, user, kind=form.kind, files=form.expected_files, size=form.expected_bytes
    )
    return {"id": upload.id}


@router.post("/uploads/{upload_id}/files")
async def receive_files(request: Request, destination: UploadDestination) -> dict[str, int]:
    """Receive some files of an upload; those it has already are recognised."""
    async with received_files(request) as files:
        receipt = await run_in_threadpool(receiving.receive, destination, files)
    return {"new": receipt.new, "known": receipt.known}


@router.post("/slides/{slide_id}/images")
async def receive_images(request: Request, destination: SlideDestination) -> Response:
    """Receive files as one complete upload, from the plain form of a browser without scripts."""
    async with received_files(request) as files:
        where = replace(destination, kind=await kind_of(request))
        receipt = await run_in_threadpool(receiving.receive, where, files)
    with transaction() as session:
        service.complete(session, session.get_one(Upload, receipt.upload_id), where.project_id)
    return RedirectResponse(f"/projects/{destination.project_id}/slides/{destination.slide_id}", 303)


@router.post("/uploads/{upload_id}/sending", status_code=204)
def sending(upload: EditableUpload) -> None:
    """Say that the browser is still sending."""
    service.hear(upload)


@router.post("/uploads/{upload_id}/stopped", status_code=204)
def stopped(upload: EditableUpload, session: SessionDep) -> None:
    """Say that the browser stopped sending before the end."""
    service.stop(session, upload, _slide_of(session, upload).project_id)


@router.post("/uploads/{upload_id}/complete")
def complete(request: Request, upload: EditableUpload, session: SessionDep) -> Response:
    """Say that no more files come, or that those which arrived are all there will be."""
    slide = _slide_of(session, upload)
    job_id = service.complete(session, upload, slide.project_id)
    return RedirectResponse(_address(slide), 303) if _wants_page(request) else JSONResponse({"job_id": job_id})


@router.post("/uploads/{upload_id}/retry")
def retry(upload: EditableUpload, session: SessionDep) -> Response:
    """Unpack again what a worker gave up."""
    service.retry(session, upload)
    return RedirectResponse(_address(_slide_of(session, upload)), 303)


def _slide_of(session: Session, upload: Upload) -> Slide:
    return session.get_one(Slide, upload.slide_id)
