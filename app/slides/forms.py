"""What comes in: new slides, announced uploads, and files in multipart bodies."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal, get_args

from fastapi import Request
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.errors import Invalid, StorageFull
from app.forms import Id, Sha256, printable
from app.language import _

MOST_FILES = 200  # in one request; small ones are held in memory, and for more there is the ZIP
MOST_MARKS = 1000  # files asked about in one request
MOST_FIELD_BYTES = 64 * 1024  # of a field that is no file


Kind = Literal["cells", "field", "off_centre"]
"""What images show: one cell each, a field of the smear from which cells are cut, or one cell that is off-centre or
small, which is cut out."""
KINDS: Final = get_args(Kind)

Accession = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), AfterValidator(printable)
]


class NewSlide(BaseModel):
    """A slide about to be created."""

    accession: Accession
    scanner_id: Id


class FileMark(BaseModel):
    """A file by its contents: `sha256` in hex, and the name it shall have."""

    sha256: Sha256
    name: Annotated[str, StringConstraints(min_length=1, max_length=400)]


class NewUpload(BaseModel):
    """What a browser is about to send."""

    kind: Kind = "cells"
    expected_files: int = Field(ge=1, le=1_000_000)
    expected_bytes: int = Field(ge=0, le=10**15)


@asynccontextmanager
async def received_files(request: Request) -> AsyncIterator[list[UploadFile]]:
    """Read the files of a multipart body into temporary files, which are gone afterwards, however the request ends.

    Raises Invalid if there is none or the body is not complete, StorageFull.
    """
    try:
        form = await request.form(max_files=MOST_FILES, max_fields=10, max_part_size=MOST_FIELD_BYTES)
    except ClientDisconnect:
        raise Invalid(_("The connection ended before the files were complete. Nothing of them was stored.")) from None
    except HTTPException as error:
        raise Invalid(
            _(
                "files: %(detail)s At most %(most_files)s files at a time, or one ZIP.",
                detail=error.detail,
                most_files=MOST_FILES,
            )
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(_("The disk of the server is full. Nothing of this request was stored.")) from error
    try:
        # A field in which nothing was chosen arrives as a file without a name.
        files = [
            item for _name, item in form.multi_items() if isinstance(item, UploadFile) and (item.filename or item.size)
        ]
        if not files:
            raise Invalid(_("files: choose at least one file."))
        yield files
    finally:
        await form.close()


async def kind_of(request: Request) -> str:
    """Return what the images of a multipart body show. Raises Invalid."""
    kind = (await request.form()).get("kind", "cells")
    if kind not in KINDS:
        raise Invalid(_('kind: must be "cells", "field" or "off_centre".'))
    return str(kind)
