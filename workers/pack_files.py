"""Lab packs as files: written, and read with everything checked before anything is believed."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from app import signing
from app.packs.manifest import (
    CELLS,
    CLASSES,
    CLASSIFIER,
    IMAGES,
    MANIFEST,
    SCORES,
    SIGNATURE,
    TABLES,
    Manifest,
    PackedFile,
)
from app.projects.forms import ClassForm
from workers.archives import DAMAGED, ENCRYPTED, Refused, open_archive, require_apart
from workers.ml.artifacts import ArtifactError, load_head
from workers.ml.heads import score
from workers.ml.images import FORMATS, BadImage, decode

CHUNK: Final = 1 << 20
MOST_MANIFEST: Final = 256 << 20
"""Bytes of a manifest: it names every image."""
MOST_IMAGE: Final = 64 << 20
MOST_BYTES: Final = 2 << 30
"""Of any file: two million cells of 384 dimensions."""

Arrays = dict[str, npt.NDArray[Any]]
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Contents:
    """What a pack holds, checked: n cells with `arrays` sha256 (n, 32), vector (n, dim), label, scanner, format, width,
    height, size (n,); the `head` with its `card` and its file; `difference` is how far its probabilities are, at most,
    from those it came with.
    """

    manifest: Manifest
    classes: list[ClassForm]
    arrays: Arrays
    head: Any
    card: dict[str, Any]
    artifact: bytes
    difference: float


class PackWriter:
    """Writes an archive; what was added is noted for the manifest."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self.files: dict[str, PackedFile] = {}

    def add(self, name: str, data: bytes) -> None:
        """Add a file."""
        self._zip.writestr(name, data)
        self.files[name] = PackedFile(sha256=hashlib.sha256(data).hexdigest(), size=len(data))

    def close(self, manifest: Manifest) -> None:
        """Add the manifest and its signature, and end the archive."""
        data = manifest.model_dump_json().encode()
        self._zip.writestr(MANIFEST, data)
        self._zip.writestr(SIGNATURE, signing.sign(data))
        self._zip.close()


class PackReader:
    """Reads an archive whose manifest is signed; raises Refused for anything that is not as it says."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._zip = open_archive(file)
        self._require_plain(size)
        self.manifest = self._signed_manifest()
        self._require_files()

    def _require_plain(self, size: int) -> None:
        """A file that is neither compressed nor part of another is no larger than what was sent."""
        infos = self._zip.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ENCRYPTED for info in infos):
            raise Refused("This is not a lab pack: its files are compressed or encrypted.")
        require_apart(infos, size)

    def _bytes(self, name: str) -> bytes:
        try:
            return self._zip.read(name)
        except DAMAGED as error:
            raise Refused("This lab pack is damaged.") from error

    def _signed_manifest(self) -> Manifest:
        names = self._zip.namelist()
        if MANIFEST not in names or SIGNATURE not in names:
            raise Refused("This is not a lab pack: it has no signed list of its files.")
        if self._zip.getinfo(MANIFEST).file_size > MOST_MANIFEST or self._zip.getinfo(SIGNATURE).file_size > CHUNK:
            raise Refused("The list of the files of this pack is too large.")
        data = self._bytes(MANIFEST)
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise Refused("%(file)s: %(what)s is missing or wrong.", file=MANIFEST, what=where) from error
        if not signing.is_signed(manifest.key, self._bytes(SIGNATURE), data):
            raise Refused("The signature does not fit: this pack was changed after it was made.")
        return manifest

    def _require_files(self) -> None:
        names = [name for name in self._zip.namelist() if name not in (MANIFEST, SIGNATURE)]
        if sorted(names) != sorted(self.manifest.files) or not set(TABLES) <= self.manifest.files.keys():
            raise Refused("The files of this pack are not those of its list.")
        if unknown := [name for name in names if name not in TABLES and not name.startswith(IMAGES)]:
            raise Refused("%(file)s: a lab pack has no such file.", file=unknown[0])

    def read(self, name: str) -> bytes:
        """Return a file that is the one of the list."""
        expected = self.manifest.files[name]
        if self._zip.getinfo(name).file_size != expected.size or expected.size > MOST_BYTES:
            raise Refused("%(file)s: it is not as long as the list says.", file=name)
        data = self._bytes(name)
        if hashlib.sha256(data).hexdigest() != expected.sha256:
            raise Refused("%(file)s: it is not the file of the list.", file=name)
        return data

    def images(self, told: Told) -> Iterator[tuple[str, bytes]]:
        """Yield sha256 and bytes of each image, looked at as those of any upload are."""
        names = [name for name in self.manifest.files if name.startswith(IMAGES)]
        for number, name in enumerate(names):
            sha256 = name.removeprefix(IMAGES)
            known = self.manifest.files[name]
            if known.sha256 != sha256 or known.size > MOST_IMAGE:
                raise Refused("%(file)s: its name is not that of its bytes.", file=name)
            data = self.read(name)
            try:
                decode(data)
            except BadImage as error:
                raise Refused("%(file)s cannot be read: %(what)s", file=name, what=error.reason) from error
            yield sha256, data
            told(number + 1, len(names))

    def contents(self) -> Contents:
        """Return what is in the tables, checked against each other."""
        classes, arrays, artifact = self._classes(), self._arrays(CELLS), self.read(CLASSIFIER)
        try:
            head, card = load_head(artifact)
        except ArtifactError as error:
            raise Refused("%(file)s cannot be read: %(what)s", file=CLASSIFIER, what=error) from error
        manifest = self.manifest
        _require_cells(arrays, manifest, len(classes))
        codes = [str(code) for code in getattr(head, "classes_", [])]
        known = {each.code for each in classes}
        if codes != manifest.classifier.classes or not set(codes) <= known:
            raise Refused("The classifier has other classes than the list says.")
        if card.get("encoder_sha256") != manifest.encoder.sha256:
            raise Refused("The classifier was fitted on embeddings of another encoder.")
        proba = self._arrays(SCORES).get("proba", np.empty(0))
        if proba.shape != (manifest.cells, len(codes)):
            raise Refused("%(file)s: %(what)s is missing or wrong.", file=SCORES, what="proba")
        found = score(head, arrays["vector"]).proba
        difference = float(np.abs(found.astype(np.float64) - proba).max(initial=0))
        return Contents(manifest, classes, arrays, head, card, artifact, difference)

    def _classes(self) -> list[ClassForm]:
        try:
            classes = TypeAdapter(list[ClassForm]).validate_json(self.read(CLASSES))
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise Refused("%(file)s: %(what)s is missing or wrong.", file=CLASSES, what=where) from error
        codes = {each.code for each in classes}
        if len(codes) < len(classes) or any(each.parent not in {None, *codes} for each in classes):
            raise Refused("A class is named twice, or its parent is missing.")
        return classes

    def _arrays(self, name: str) -> Arrays:
        try:
            return load(self.read(name))
        except (SafetensorError, ValueError, KeyError) as error:
            raise Refused("%(file)s cannot be read: %(what)s", file=name, what=error) from error


def _require_cells(arrays: Mapping[str, npt.NDArray[Any]], manifest: Manifest, classes: int) -> None:
    if unknown := set(manifest.image_formats) - {*FORMATS}:
        raise Refused("%(file)s: %(what)s is missing or wrong.", file=MANIFEST, what=unknown.pop())
    n = manifest.cells
    shapes = {"sha256": (n, 32), "vector": (n, manifest.encoder.dim)}
    highest = {"label": classes, "scanner": len(manifest.scanners), "format": len(manifest.image_formats)}
    numbers = dict.fromkeys((*highest, "width", "height", "size"), (n,))
    for name, shape in {**shapes, **numbers}.items():
        array = arrays.get(name)
        dtype = {"sha256": "uint8", "vector": "float16"}.get(name, "int32")
        if array is None or array.shape != shape or array.dtype != dtype:
            raise Refused("%(file)s: %(what)s is missing or wrong.", file=CELLS, what=name)
    for name, count in highest.items():
        lowest = -1 if name == "label" else 0
        if n and not lowest <= arrays[name].min() <= arrays[name].max() < count:
            raise Refused("%(file)s: %(what)s is missing or wrong.", file=CELLS, what=name)
    if len(np.unique(arrays["sha256"], axis=0)) != n or not np.isfinite(arrays["vector"]).all():
        raise Refused("%(file)s: a cell is there twice, or has no embedding.", file=CELLS)


def packed_classes(classes: list[ClassForm]) -> bytes:
    """Return the file of classes."""
    return json.dumps([each.model_dump() for each in classes]).encode()
