"""Looking into lab packs that were received, and taking them in."""

from io import BytesIO
from typing import Any

import numpy as np
from safetensors.numpy import save
from sqlalchemy import select

from app.annotations import service as annotations
from app.annotations.forms import LabelItem
from app.db import insert_into, now, reading
from app.encoders.service import default_encoder
from app.language import N_
from app.models import Cell, Classifier, Embedding, Encoder, Pack, Project, Slide, User
from app.packs import service
from app.storage import get_storage
from workers.archives import Refused
from workers.cell_rows import add_cells, add_images
from workers.classifiers import Fitted, newest, score_table, version_of
from workers.material import collect
from workers.pack_files import Contents, PackReader
from workers.runner import Task
from workers.slide_files import KeptFile, put

ROWS = 1000  # written at a time
ACCESSION = "Lab pack"
NO_ENCODER = N_(
    "This installation has no encoder %(name)s (sha256 %(sha256)s). Ask for its file, and register it with "
    "fiftycells add-encoder."
)


def examine(task: Task) -> None:
    """Check a received archive; what it holds, or why it is refused, is shown before anything is taken in."""
    with task.transaction() as session:
        pack = session.get_one(Pack, task.arguments["pack_id"])
        default_encoder(session)  # known even where no project has begun with it
        known = set(session.scalars(select(Encoder.sha256)))
    found: dict[str, Any] | None = None
    problem = ""
    try:
        with get_storage().open(f"packs/{pack.sha256}") as file:
            reader = PackReader(file, pack.size or 0)
            contents = reader.contents()
            for _image in reader.images(lambda done, total: task.progress(done, total, N_("Checking pictures"))):
                pass
        encoder = contents.manifest.encoder
        if encoder.sha256 not in known:
            problem = NO_ENCODER % {"name": encoder.name, "sha256": encoder.sha256}
        else:
            found = {**service.summary(contents.manifest), "difference": contents.difference}
    except Refused as error:
        problem = str(error)
    with task.transaction() as session:
        done = session.get_one(Pack, pack.id)
        done.found, done.problem = found, problem


def take_in(task: Task) -> None:
    """Make a project of a received archive: classes, scanners, cells, labels, and the version of its classifier."""
    with reading() as session:
        pack = session.get_one(Pack, task.arguments["pack_id"])
    with get_storage().open(f"packs/{pack.sha256}") as file:
        reader = PackReader(file, pack.size or 0)
        contents = reader.contents()
        project_id, slides = _begin(task, pack, contents)
        for sha256, data in reader.images(lambda done, total: task.progress(done, total, N_("Storing pictures"))):
            put([KeptFile("images", sha256, data)])
    _fill(task, project_id, slides, contents)
    _label(task, pack, project_id, contents)
    _add_version(task, pack, project_id, contents)


def _begin(task: Task, pack: Pack, contents: Contents) -> tuple[int, list[int]]:
    """Make the project with a slide for each scanner, unless an earlier attempt did; returns their ids."""
    with task.transaction() as session:
        mine = session.get_one(Pack, pack.id)
        if mine.project_id is None:
            service.make_project(session, mine, contents.manifest, contents.classes, ACCESSION)
        project = session.get_one(Project, mine.project_id)
        slides = session.scalars(select(Slide.id).where(Slide.project_id == project.id).order_by(Slide.scanner_id))
        return project.id, [*slides]


def _fill(task: Task, project_id: int, slides: list[int], contents: Contents) -> None:
    """Add images, cells and embeddings."""
    arrays, manifest = contents.arrays, contents.manifest
    for start in range(0, manifest.cells, ROWS):
        part = range(start, min(start + ROWS, manifest.cells))
        with task.transaction() as session:
            encoder = session.scalars(select(Encoder.id).where(Encoder.sha256 == manifest.encoder.sha256)).one()
            known = [session.get_one(Slide, slide_id) for slide_id in slides]
            ids, _created = add_images(session, [_image_row(contents, at) for at in part])
            digests = [arrays["sha256"][at].tobytes().hex() for at in part]
            add_cells(session, [
                {
                    "project_id": project_id, "slide_id": known[arrays["scanner"][at]].id,
                    "scanner_id": known[arrays["scanner"][at]].scanner_id, "image_id": ids[sha256],
                    "name": f"cell-{at + 1}", "field_id": None, "box": None, "created_at": now(),
                }
                for at, sha256 in zip(part, digests, strict=True)
            ])  # fmt: skip
            vectors = [
                {"encoder_id": encoder, "image_id": ids[sha256], "vector": arrays["vector"][at].tobytes()}
                for at, sha256 in zip(part, digests, strict=True)
            ]
            unique = [Embedding.encoder_id, Embedding.image_id]
            session.execute(insert_into(session, Embedding).on_conflict_do_nothing(index_elements=unique), vectors)
        task.progress(part.stop, manifest.cells, N_("Adding cells"))


def _image_row(contents: Contents, at: int) -> dict[str, Any]:
    arrays = contents.arrays
    return {
        "sha256": arrays["sha256"][at].tobytes().hex(),
        "format": contents.manifest.image_formats[arrays["format"][at]],
        **{name: int(arrays[name][at]) for name in ("width", "height", "size")},
        "created_at": now(),
    }


def _label(task: Task, pack: Pack, project_id: int, contents: Contents) -> None:
    labels = contents.arrays["label"]
    named = {f"cell-{at + 1}": contents.classes[labels[at]].code for at in np.flatnonzero(labels >= 0).tolist()}
    with reading() as session:
        query = select(Cell.id, Cell.name).where(Cell.project_id == project_id).order_by(Cell.id)
        rows = session.execute(query).all()
    items = [LabelItem(cell_id=row.id, class_=named[row.name]) for row in rows if row.name in named]
    for number, start in enumerate(range(0, len(items), ROWS)):
        with task.transaction() as session:
            project, by = session.get_one(Project, project_id), session.get_one(User, pack.created_by)
            some = items[start : start + ROWS]
            annotations.label(session, project, some, action=f"pack-{pack.id}-{number:06}", source="import", by=by)


def _add_version(task: Task, pack: Pack, project_id: int, contents: Contents) -> None:
    """Keep the classifier of the pack as a version, with its scores of all cells."""
    with reading() as session:
        material = collect(session, project_id)
    table = score_table(contents.head, material.cell_ids, material.X_all)
    storage = get_storage()
    artifact = storage.put("classifiers", BytesIO(contents.artifact)).sha256
    scores = storage.put("scores", BytesIO(save(table))).sha256
    with task.transaction() as session:
        mine = (Classifier.project_id == project_id) & (Classifier.artifact == artifact)
        if session.scalar(select(Classifier.id).where(mine)) is None:
            fitted = Fitted(contents.head, contents.card, artifact, table, scores)
            name = f"{contents.manifest.project} {contents.manifest.classifier.version}"[:80]
            before = newest(session, project_id)
            session.add(version_of(before, material, fitted, state="candidate", name=name, fit_seconds=0))
        service.finish(session, session.get_one(Pack, pack.id), contents.manifest)
