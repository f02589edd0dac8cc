"""Making lab packs: a project is gathered from the database, then written as one archive."""

from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import signing
from app.cells.matrix import matrix_of
from app.config import software
from app.db import now, reading
from app.events import publish
from app.language import N_
from app.models import Cell, CellClass, Classifier, Encoder, Image, Pack, Project, Scanner
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
from workers.ml.artifacts import load_head
from workers.ml.heads import score
from workers.pack_files import PackWriter, packed_classes
from workers.runner import Task

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
