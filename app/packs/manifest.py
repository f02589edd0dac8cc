"""What a lab pack holds; docs/packs.md describes the archive."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.forms import Name, OptionalUm, Sha256

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
CLASSES, CELLS, CLASSIFIER, SCORES = "classes.json", "cells.safetensors", "classifier.safetensors", "scores.safetensors"
TABLES = (CLASSES, CELLS, CLASSIFIER, SCORES)
IMAGES = "images/"  # and the sha256

Count = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """A part of the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PackedFile(Strict):
    """A file of the archive."""

    sha256: Sha256
    size: Count


class PackedEncoder(Strict):
    """The encoder of the embeddings, which is not in the archive."""

    sha256: Sha256
    name: str
    dim: Annotated[int, Field(ge=1, le=384)]


class PackedClassifier(Strict):
    """The version that is in the archive."""

    version: Count
    name: str
    classes: list[str]
    labels: Count
    labels_sha256: str
    balanced_accuracy: float | None


class PackedScanner(Strict):
    """A scanner of the cells."""

    name: Name
    um_per_px: OptionalUm


class Manifest(Strict):
    """What the signature is of."""

    format: Literal["fiftycells-pack/1"]
    key: Sha256  # 32 bytes in hex, as those are
    made_at: datetime
    software: str
    project: Name
    synthetic: bool
    encoder: PackedEncoder
    classifier: PackedClassifier
    scanners: list[PackedScanner]
    image_formats: list[str]
    cells: Annotated[int, Field(ge=1)]
    labels: Count
    images: Count
    files: dict[str, PackedFile]
