"""REST endpoints of resumable uploads, tus 1.0 with the extensions creation and termination."""

from typing import Annotated, Final

from fastapi import Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.accounts.access import CurrentUser
from app.db import SessionDep, reading
from app.errors import Invalid, NotFound, PreconditionFailed
from app.language import N_, _
from app.models import Slide, Upload
from app.rest import PREFIX, problems, rest_router
from app.slides import resumable
from app.slides.access import Destination, EditableSlide, UploadDestination, ViewableUpload

VERSION: Final = "1.0.0"
CONTENT_TYPE: Final = "application/offset+octet-stream"
BYTES = {"required": True, "content": {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


class OtherVersion(PreconditionFailed):
    """The client speaks another version of tus."""

    title = N_("Another version")

    def __init__(self) -> None:
        super().__init__(_("Tus-Resumable: must be %(version)s.", version=VERSION))
        self.headers = {"Tus-Version": VERSION}


def tus_version(version: Annotated[str, Header(alias="Tus-Resumable", description="Always 1.0.0.")]) -> None:
    """Check that the client speaks our version of tus. Raises OtherVersion."""
    if version != VERSION:
        raise OtherVersion


router = rest_router("resumable uploads")
router.dependencies.append(Depends(tus_version))

Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, description="Where the bytes of the body begin.")]


def resumable_upload(upload: ViewableUpload) -> Upload:
    """Return the upload of the path if it is one by tus that was not given up. Raises NotFound."""
    if upload.resumable_name is None or upload.expected_files == 0:
        raise NotFound(_("There is no such upload, or you are not a member of its project."))
    return upload


ResumableUpload = Annotated[Upload, Depends(resumable_upload)]


@router.post(
    "/slides/{slide_id}/uploads",
    status_code=201,
    summary="Announce a large file",
    response_class=Response,
    responses=problems(412),
)
def create(
    slide: EditableSlide,
    user: CurrentUser,
    session: SessionDep,
    length: Annotated[int, Header(alias="Upload-Length", ge=1, description="Bytes of the whole file.")],
    metadata: Annotated[
        str,
        Header(
            alias="Upload-Metadata",
            max_length=4096,
            description="`filename` and perhaps `kind` (`cells`, `field` or `off_centre`), each with its value in "
            "base64, joined by commas. A ZIP counts as its images.",
        ),
    ] = "",
) -> Response:
    """Announce one file. Its bytes go by PATCH to `Location`, in as many pieces as the line allows."""
    upload = resumable.begin(session, slide, user, length=length, metadata=metadata)
    return _answer(201, {"Location": f"{PREFIX}/uploads/{upload.id}", "Upload-Offset": "0"})


@router.head(
    "/uploads/{upload_id}",
    summary="Ask how much of a file has arrived",
    response_class=Response,
    responses=problems(412, 423, 507),
)
def offset(upload: ResumableUpload, session: SessionDep) -> Response:
    """Say in `Upload-Offset` where to go on."""
    arrived = {"Upload-Offset": str(resumable.offset_of(upload, resumable.destination_of(session, upload)))}
    return _answer(200, {**arrived, "Upload-Length": str(upload.expected_bytes), "Cache-Control": "no-store"})


def awaited_file(destination: UploadDestination) -> tuple[Destination, Upload]:
    """Return the upload of the path, its rights checked, with no transaction open while its bytes come.

    Raises NotSignedIn, Forbidden, NotFound.
    """
    with reading() as session:
        upload = session.get_one(Upload, destination.upload_id)
    return destination, resumable_upload(upload)


@router.patch(
    "/uploads/{upload_id}",
    status_code=204,
    summary="Send a piece of a file",
    response_class=Response,
    responses=problems(409, 412, 423, 507),
    openapi_extra={"requestBody": BYTES},
)
async def send(
    request: Request,
    awaited: Annotated[tuple[Destination, Upload], Depends(awaited_file)],
    begins: Offset,
) -> Response:
    """Append bytes to the file. What arrived before a line drops is kept: ask with HEAD where to go on.

    The answer to the last piece names the job that makes cells of the file in `Location`.
    """
    destination, upload = awaited
    if request.headers.get("content-type") != CONTENT_TYPE:
        raise Invalid(_("Content-Type: must be %(type)s.", type=CONTENT_TYPE))
    reached = await resumable.append(upload, begins, request.stream())
    headers = {"Upload-Offset": str(reached)}
    if reached == upload.expected_bytes:
        receipt = await run_in_threadpool(resumable.receive, upload, destination)
        headers["Location"] = f"{PREFIX}/jobs/{receipt.job_id}"
    else:
        await run_in_threadpool(resumable.hear, upload.id)
    return _answer(204, headers)


@router.delete(
    "/uploads/{upload_id}",
    status_code=204,
    summary="Give a file up",
    response_class=Response,
    responses=problems(409, 412),
)
def give_up(upload: ResumableUpload, session: SessionDep) -> Response:
    """Forget what arrived of a file that is not complete."""
    resumable.give_up(session, upload, session.get_one(Slide, upload.slide_id).project_id)
    return _answer(204, {})


def _answer(status: int, headers: dict[str, str]) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **headers})
