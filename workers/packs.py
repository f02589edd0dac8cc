"""Making lab packs, looking into received ones, and taking them in."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import signing
from app.annotations import service as annotations
from app.annotations.forms import LabelItem
from app.cells.matrix import matrix_of
from app.config import software
from app.db import insert_into, now, reading
from app.encoders.service import default_encoder
from app.events import publish
from app.language import N_
from app.models import Cell, CellClass, Classifier, Embedding, Encoder, Image, Pack, Project, Scanner, Slide, User
from app.packs import service
from app.packs.manifest import (
    CELLS,
    CLASSES,
    CLASSIFIER,
    IMAGES,
    SCORES,
    Manifest,
    PackedClassifier,
    PackedEncoder,
    PackedScanner,
)
from app.projects.forms import ClassForm
from app.projects.queries import classes
from app.storage import get_storage
from workers.archives import Refused
from workers.cell_rows import add_cells, add_images
from workers.classifiers import Fitted, newest, score_table, version_of
from workers.material import collect
from workers.ml.artifacts import load_head
from workers.ml.heads import score
from workers.pack_files import Contents, PackReader, PackWriter, packed_classes
from workers.runner import Task
from workers.slide_files import KeptFile, put

ROWS = 1000  # written at a time
ACCESSION = "Lab pack"
NO_ENCODER = N_(
    "This installation has no encoder %(name)s (sha256 %(sha256)s). Ask for its file, and register it with "
    "fiftycells add-encoder."
)

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Parts:
    """What a pack is made of but for pictures: what its manifest says `about` it, its classes, `arrays` of its cells,
    and the sha256 of its classifier."""

    about: dict[str, Any]
    classes: list[ClassForm]
    arrays: Arrays
    artifact: str


def export(task: Task) -> None:
    """Write the archive of a project and a version of its classifier."""
    with reading() as session:
        pack = session.get_one(Pack, task.arguments["pack_id"])
        parts = _gather(session, pack)
    with TemporaryFile() as file:
        manifest = _write(task, file, parts, with_images=pack.with_images)
        size = file.tell()
        file.seek(0)
        stored = get_storage().put("packs", file)
    with task.transaction() as session:
        done = session.get_one(Pack, pack.id)
        done.sha256, done.size, done.found = stored.sha256, size, service.summary(manifest)
        publish(session, task.project_id, "pack", {"pack_id": pack.id})


def _gather(session: Session, pack: Pack) -> Parts:
    project = session.get_one(Project, pack.project_id)
    classifier = session.get_one(Classifier, pack.classifier_id)
    encoder = session.get_one(Encoder, classifier.encoder_id)
    known = classes(session, project)
    scanners = session.scalars(select(Scanner).where(Scanner.project_id == project.id).order_by(Scanner.id)).all()
    arrays, formats = _cells(session, project, encoder, [each.id for each in known], scanners)
    codes = {each.id: each.code for each in known}
    about = {
        "project": project.name,
        "synthetic": project.synthetic,
        "encoder": PackedEncoder(sha256=encoder.sha256, name=encoder.name, dim=encoder.dim),
        "classifier": _packed(classifier),
        "scanners": [PackedScanner(name=each.name, um_per_px=each.um_per_px) for each in scanners],
        "image_formats": formats,
    }
    return Parts(about, [_form(each, codes) for each in known], arrays, classifier.artifact)


def _write(task: Task, file: BinaryIO, parts: Parts, *, with_images: bool) -> Manifest:
    artifact = get_storage().read(f"classifiers/{parts.artifact}")
    head, _card = load_head(artifact)
    writer = PackWriter(file)
    writer.add(CLASSES, packed_classes(parts.classes))
    writer.add(CELLS, save(parts.arrays))
    writer.add(CLASSIFIER, artifact)
    writer.add(SCORES, save({"proba": score(head, parts.arrays["vector"]).proba}))
    images = _add_images(task, writer, parts.arrays["sha256"]) if with_images else 0
    manifest = Manifest(
        format="fiftycells-pack/1",
        key=signing.public_key(),
        made_at=now(),
        software=software(),
        cells=len(parts.arrays["sha256"]),
        labels=int((parts.arrays["label"] >= 0).sum()),
        images=images,
        files=writer.files,
        **parts.about,
    )
    writer.close(manifest)
    return manifest


def _form(each: CellClass, codes: dict[int, str]) -> ClassForm:
    parent = codes[each.parent_id] if each.parent_id else None
    return ClassForm(code=each.code, name=each.name, key=each.key, color=each.color, parent=parent)


def _packed(classifier: Classifier) -> PackedClassifier:
    return PackedClassifier(
        version=classifier.version,
        name=classifier.name,
        classes=classifier.classes,
        labels=classifier.labels,
        labels_sha256=classifier.labels_sha256,
        balanced_accuracy=classifier.metrics["balanced_accuracy"] if classifier.metrics else None,
    )


def _cells(
    session: Session, project: Project, encoder: Encoder, class_ids: list[int], scanners: Sequence[Scanner]
) -> tuple[Arrays, list[str]]:
    """Return what is said of each image once, and the formats there are."""
    of_image = (Image.id, Image.sha256, Image.format, Image.width, Image.height, Image.size)
    query = select(Cell.class_id, Cell.scanner_id, *of_image)
    query = query.join(Image, Image.id == Cell.image_id).where(Cell.project_id == project.id, ~Cell.removed)
    rows = {row.sha256: row for row in session.execute(query.order_by(Cell.class_id.is_not(None), Cell.id.desc()))}
    matrix = matrix_of(encoder)
    places = matrix.rows(np.array([row.id for row in rows.values()], np.int64))
    seen = [(row, place) for row, place in zip(rows.values(), places.tolist(), strict=True) if place >= 0]
    formats = sorted({row.format for row, _place in seen})
    scanner_ids = [each.id for each in scanners]
    columns = {
        "label": [class_ids.index(row.class_id) if row.class_id else -1 for row, _place in seen],
        "scanner": [scanner_ids.index(row.scanner_id) for row, _place in seen],
        "format": [formats.index(row.format) for row, _place in seen],
        "width": [row.width for row, _place in seen],
        "height": [row.height for row, _place in seen],
        "size": [row.size for row, _place in seen],
    }
    arrays: Arrays = {name: np.array(column, np.int32) for name, column in columns.items()}
    digests = b"".join(bytes.fromhex(row.sha256) for row, _place in seen)
    arrays["sha256"] = np.frombuffer(digests, np.uint8).reshape(len(seen), 32)
    arrays["vector"] = matrix.vectors[[place for _row, place in seen]]
    return arrays, formats


def _add_images(task: Task, writer: PackWriter, digests: npt.NDArray[np.uint8]) -> int:
    """Add the pictures that are still kept; returns how many."""
    count = 0
    for number, digest in enumerate(digests):
        sha256 = digest.tobytes().hex()
        if get_storage().exists(f"images/{sha256}"):
            writer.add(IMAGES + sha256, get_storage().read(f"images/{sha256}"))
            count += 1
        task.progress(number + 1, len(digests), N_("Adding pictures"))
    return count


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
