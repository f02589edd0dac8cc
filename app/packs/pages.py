"""Pages of lab packs: made of a project, and taken in."""

from collections.abc import Mapping
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from app import signing
from app.accounts.access import Manager, current_user, manager
from app.db import SessionDep, transaction
from app.errors import Conflict, Invalid, NotFound
from app.forms import FormValues, fields, parse, reasons_of
from app.language import _
from app.models import Pack, Project, User
from app.packs import queries, service
from app.packs.access import ManagedPack
from app.packs.forms import NewPack, TakeIn
from app.projects.access import ManagedProject
from app.slides.forms import received_files
from app.storage import get_storage
from app.templating import render

router = APIRouter(tags=["packs"])


def _made_page(
    request: Request, session: Session, project: Project, values: Mapping[str, Any], error: Invalid | None = None
) -> Response:
    packs = queries.made(session, project)
    versions = queries.packable(session, project)
    return render(
        request,
        "packs/made.html",
        block="packs",
        status=error.status if error else 200,
        active="settings",
        project=project,
        packs=[(pack, queries.job(session, pack)) for pack in packs],
        waiting=any(queries.is_open(session, pack) for pack in packs),
        versions=[(each.id, " ".join([str(each.version), each.name])) for each in versions],
        key=signing.spoken(signing.public_key()),
        values=values,
        errors=reasons_of(error),
    )


@router.get("/projects/{project_id}/packs")
def made(request: Request, project: ManagedProject, session: SessionDep) -> Response:
    """Show the packs made of a project; htmx asks again while one is being made."""
    return _made_page(request, session, project, fields())


@router.post("/projects/{project_id}/packs")
def ask(request: Request, project: ManagedProject, user: Manager, session: SessionDep, values: FormValues) -> Response:
    """Have a pack made."""
    try:
        service.ask(session, project, parse(NewPack, values), user)
    except Invalid as error:
        return _made_page(request, session, project, values, error)
    return RedirectResponse(f"/projects/{project.id}/packs", 303)


@router.get("/packs/{pack_id}/file")
def download(pack: ManagedPack) -> Response:
    """Download a pack. Raises NotFound while it is being made."""
    if pack.sha256 is None:
        raise NotFound(_("This pack is not ready yet."))
    name = f"fiftycells-pack-{pack.id}.zip"
    headers = {"Cache-Control": "private, no-store"}
    path = get_storage().local_path(f"packs/{pack.sha256}")
    return FileResponse(path, media_type="application/zip", filename=name, headers=headers)


@router.post("/packs/{pack_id}/delete")
def remove(pack: ManagedPack, session: SessionDep) -> RedirectResponse:
    """Delete a pack and its file; what it became stays."""
    where = f"/projects/{pack.project_id}/packs" if pack.kind == "export" else "/packs"
    service.remove(session, pack)
    return RedirectResponse(where, 303)


def _received_page(request: Request, session: Session, error: Invalid | None = None) -> Response:
    return render(
        request,
        "packs/received.html",
        status=error.status if error else 200,
        active="projects",
        packs=queries.received(session),
        problem=error.detail if error else "",
    )


@router.get("/packs")
def received(request: Request, _user: Manager, session: SessionDep) -> Response:
    """Show the packs that were sent in, with the form for another."""
    return _received_page(request, session)


def signed_in_manager(request: Request) -> User:
    """Check the rights in a transaction that is over before a large file is read. Raises NotSignedIn or Forbidden."""
    with transaction() as session:
        return manager(current_user(request, session))


@router.post("/packs")
async def receive(request: Request, user: Annotated[User, Depends(signed_in_manager)]) -> Response:
    """Store a pack, and have it looked into; nothing of it is believed yet."""
    try:
        async with received_files(request) as files:
            pack_id = await run_in_threadpool(_receive, files[0].file, user)
    except Invalid as error:
        with transaction() as session:
            return _received_page(request, session, error)
    return RedirectResponse(f"/packs/{pack_id}", 303)


def _receive(file: BinaryIO, user: User) -> int:
    stored = get_storage().put("packs", file)  # before the transaction: a large file takes its time
    with transaction() as session:
        return service.receive(session, stored, user).id


def _pack_page(
    request: Request,
    session: Session,
    pack: Pack,
    values: Mapping[str, Any],
    error: Invalid | Conflict | None = None,
) -> Response:
    return render(
        request,
        "packs/pack.html",
        block="pack",
        status=error.status if error else 200,
        active="projects",
        pack=pack,
        found=pack.found,
        job=queries.job(session, pack),
        working=queries.is_open(session, pack),
        became=session.get(Project, pack.project_id) if pack.project_id else None,
        values=values,
        errors=reasons_of(error),
        refused=error.detail if isinstance(error, Conflict) else "",
    )


@router.get("/packs/{pack_id}")
def read(request: Request, pack: ManagedPack, session: SessionDep) -> Response:
    """Show what a received pack holds, or why it is refused; htmx asks again while it is being worked on."""
    if pack.kind != "import":
        return RedirectResponse(f"/projects/{pack.project_id}/packs", 303)
    name = pack.found["project"] if pack.found else ""
    return _pack_page(request, session, pack, fields(name=name))


@router.post("/packs/{pack_id}/project")
def take_in(request: Request, pack: ManagedPack, user: Manager, session: SessionDep, values: FormValues) -> Response:
    """Make a project of a pack."""
    try:
        service.ask_in(session, pack, parse(TakeIn, values), user)
    except (Invalid, Conflict) as error:
        return _pack_page(request, session, pack, values, error)
    return RedirectResponse(f"/packs/{pack.id}", 303)
