"""Turns a whole-slide file into a field and its cells: its pixels are written anew, then searched tile by tile.

Each tile counts as one member of the file, so a worker that is killed goes on at the tile it was at, and memory does
not grow with the slide.
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import openslide

from app.db import now, reading
from app.models import Field, Project, Slide, Upload, UploadPart
from app.models.project import lock
from app.slides.queries import READING
from app.storage import Stored, get_storage
from workers import slide_files, slide_rows
from workers.archives import Member, Refused
from workers.cell_rows import Row, add_field, add_images
from workers.examining import kept_cell
from workers.ml.field_files import Field as Picture
from workers.ml.field_files import open_slide
from workers.ml.fields import cells_in, diameter_of, tiles_of
from workers.ml.images import THUMBNAIL, BadImage, to_jpeg
from workers.ml.pyramids import write_pyramid
from workers.outcomes import InField, Outcome
from workers.runner import Task
from workers.slide_archives import slide_of
from workers.slide_rows import CRASHED, STRIKES

AT_ONCE: Final = 8  # tiles in one transaction


def unpack(task: Task, part: UploadPart, um_per_px: float | None, *, careful: bool) -> None:
    """Store the pixels of a slide as a field, and its cells; a slide that cannot be read is refused.

    After a crash, `careful`, what is tried is marked before, and refused if the worker keeps ending with it in hand.
    Raises OvertakenError.
    """
    outcomes = _outcomes(task, part, um_per_px, careful=careful)
    while batch := list(islice(outcomes, AT_ONCE)):
        slide_rows.store(task, part.upload_id, batch)


def _outcomes(task: Task, part: UploadPart, um_per_px: float | None, *, careful: bool) -> Iterator[Outcome]:
    if careful and part.trying == part.next_member and part.strikes >= STRIKES:
        yield _refused(part, CRASHED)
        return
    if careful:
        slide_rows.mark(task, part.id, part.next_member)
    try:
        with slide_of(part, partial(task.progress, message=READING)) as path:
            picture = open_slide(path, um_per_px)
            field_id, diameter = _field(task, part, picture)
            tiles = tiles_of(picture, diameter)
            for index in range(part.next_member, len(tiles)):
                cells = [
                    kept_cell(pixels, f"{part.name} {round(box.center[0])},{round(box.center[1])}", box)
                    for box, pixels in cells_in(picture, diameter, tiles[index])
                ]
                yield Outcome(part.id, Member(index, len(tiles), part.name, None), InField(field_id, cells))
    except (BadImage, Refused) as error:
        with reading() as session:
            part = session.get_one(UploadPart, part.id)
        yield _refused(part, str(error))


def _refused(part: UploadPart, reason: str) -> Outcome:
    """What ends a part at the place it is at."""
    return Outcome(part.id, Member(part.next_member, part.next_member + 1, part.name, None), reason)


def _field(task: Task, part: UploadPart, picture: Picture) -> tuple[int, float]:
    """Return the id of the field of a slide and the diameter of its red cells; makes it on the first attempt."""
    with reading() as session:
        field = session.get(Field, part.field_id) if part.field_id else None
        keep_received = session.get_one(Project, task.project_id).keep_received
    if field is not None:
        return field.id, field.red_cell_px
    diameter = diameter_of(picture)
    image = _written(task, picture)
    received = _received(part) if keep_received else None
    with task.transaction() as session:
        lock(session, task.project_id)
        image_id = add_images(session, [image])[0][image["sha256"]]
        slide = session.get_one(Slide, session.get_one(Upload, part.upload_id).slide_id)
        field = add_field(session, slide, image_id, part.name, diameter)
        session.get_one(UploadPart, part.id).field_id = field.id
        if received:
            slide_files.add_originals(session, slide, {image["sha256"]: received})
        if not get_storage().exists(f"images/{image['sha256']}"):  # its time on another slide ended just now
            raise FileNotFoundError(f"images/{image['sha256']}")
        return field.id, field.red_cell_px


def _received(part: UploadPart) -> Stored:
    with get_storage().open(f"uploads/{part.sha256}") as file:
        return get_storage().put("originals", file)


def _written(task: Task, picture: Picture) -> Row:
    """Store the pixels of a slide and its thumbnail; returns the row of the image."""
    with TemporaryDirectory(dir=get_storage().temporary) as folder:
        path = Path(folder) / "pyramid"
        write_pyramid(picture, path, partial(task.progress, message=READING))
        with path.open("rb") as file:
            stored = get_storage().put("images", file)
    with openslide.OpenSlide(get_storage().local_path(f"images/{stored.sha256}")) as slide:
        small = np.asarray(slide.get_thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL)).convert("RGB"))
    get_storage().write(f"thumbnails/{stored.sha256}", to_jpeg(small))
    return {
        "sha256": stored.sha256, "format": "TIFF", "width": picture.width, "height": picture.height,
        "size": stored.size, "created_at": now(),
    }  # fmt: skip
