"""REST endpoint that takes labels in from a file of another program or project."""

import hashlib
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from app import jobs
from app.accounts.access import CurrentUser
from app.annotations import importing
from app.db import SessionDep
from app.forms import PathId
from app.projects.access import ViewedProject
from app.rest import PREFIX, rest_router
from app.slides.forms import received_files

FORM = {
    "type": "object",
    "properties": {"files": {"type": "string", "format": "binary", "description": "One CSV or COCO file."}},
    "required": ["files"],
}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}

router = rest_router("annotations")


class ImportQuery(BaseModel):
    """What becomes of a file."""

    model_config = ConfigDict(extra="forbid")

    overwrite: bool = Field(False, description="Also label cells that have another label.")
    dry_run: bool = Field(False, description="Only say what the file holds.")


class Imported(BaseModel):
    """What a file holds, and the job that gives its labels."""

    rows: int
    cells: int = Field(description="How many cells get a label by it.")
    changing: int = Field(description="How many of them have another label now.")
    unused: int = Field(description="Rows that cannot be used.")
    problems: list[str] = Field(description="Why, of the first of them.")
    job_id: int | None = Field(description="Null if nothing is to be given.")


async def looked_into(request: Request, viewed: ViewedProject) -> importing.Found:
    """Receive the file and match it while no transaction is open; rights were looked at before."""
    async with received_files(request) as files:
        data = await files[0].read()
    # What tells a repeated request from another one: boundaries differ each time the same file is sent.
    request.state.body_sha256 = hashlib.sha256(data).hexdigest()
    return await run_in_threadpool(importing.look_into, viewed[0], data)


@router.post(
    "/projects/{project_id}/annotations/import",
    status_code=202,
    summary="Import labels from a file",
    dependencies=[Depends(looked_into)],  # before the transaction of the request begins
    openapi_extra=BODY,
)
def take_in(
    project_id: PathId,
    found: Annotated[importing.Found, Depends(looked_into)],
    user: CurrentUser,
    session: SessionDep,
    response: Response,
    wanted: Annotated[ImportQuery, Query()],
) -> Imported:
    """Give cells the labels of a CSV or COCO file, as one action; docs/rest.md says how rows find their cells.

    What cannot be used is named, the rest goes through. The job is at `Location`.
    """
    job_id = None
    if found.labels and not wanted.dry_run:
        labels = {"labels": [*found.labels.items()], "overwrite": wanted.overwrite}
        job_id = jobs.import_labels(session, project_id, labels, action=str(uuid4()), user_id=user.id)
        response.headers["Location"] = f"{PREFIX}/jobs/{job_id}"
    return Imported(
        rows=found.rows,
        cells=len(found.labels),
        changing=found.changing,
        unused=found.unused,
        problems=found.problems,
        job_id=job_id,
    )
