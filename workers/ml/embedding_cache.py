"""Embeddings kept on disk by encoder and image content, so that no image is embedded twice."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from workers.ml.embedding import Embedded, VectorEncoder, embed
from workers.ml.images import BadImage
from workers.ml.sources import Source

_CHUNK: Final = 512  # images read at once: some hundred megabytes at most in memory, and lost when it is stopped


def cache_folder() -> Path:
    """Return the user's folder for embeddings, as the XDG specification has it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fiftycells" / "embeddings"


class EmbeddingCache:
    """A folder with one subfolder per encoder; each file in it holds the vectors of one chunk of images.

    Files are only added, each in one step, so several processes may use a cache and none can damage it.
    """

    def __init__(self, folder: Path, encoder: VectorEncoder) -> None:
        self._folder = folder / encoder.sha256
        self._folder.mkdir(parents=True, exist_ok=True)
        self._encoder = encoder
        self._vectors: dict[str, npt.NDArray[np.float16]] = {}
        for file in sorted(self._folder.glob("*.npz")):
            with np.load(file) as chunk:
                self._vectors.update(zip(chunk["images"].tolist(), chunk["vectors"], strict=True))

    def embed(
        self, sources: Sequence[Source], progress: Callable[[int], None] = lambda _done: None
    ) -> tuple[Embedded, list[str]]:
        """Embed images as `embedding.embed` does, but those not known yet only; also return their sha256.

        The sha256 of a file that cannot be read is "". `progress` is called with the number of images done.
        """
        vectors = np.full((len(sources), self._encoder.dim), np.nan, np.float16)
        errors: dict[int, str] = {}
        hashes: list[str] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(sources), _CHUNK):
                contents = dict(enumerate(pool.map(_read, sources[start : start + _CHUNK]), start))
                errors |= {i: content.reason for i, content in contents.items() if isinstance(content, BadImage)}
                blobs = {i: content for i, content in contents.items() if isinstance(content, bytes)}
                keys = {i: hashlib.sha256(blob).hexdigest() for i, blob in blobs.items()}
                errors |= self._learn(blobs, keys)
                for i, key in keys.items():
                    if key in self._vectors:
                        vectors[i] = self._vectors[key]
                hashes += [keys.get(i, "") for i in contents]
                progress(start + len(contents))
        return Embedded(vectors, errors), hashes

    def _learn(self, blobs: dict[int, bytes], keys: dict[int, str]) -> dict[int, str]:
        """Embed what is not known and keep it; return the reasons of what could not be embedded."""
        new = [i for i, key in keys.items() if key not in self._vectors]
        if not new:
            return {}
        embedded = embed(self._encoder, [blobs[i] for i in new])
        good = [row for row in range(len(new)) if row not in embedded.errors]
        if good:
            self._keep([keys[new[row]] for row in good], embedded.vectors[good])
        return {new[row]: reason for row, reason in embedded.errors.items()}

    def _keep(self, images: list[str], vectors: npt.NDArray[np.float16]) -> None:
        self._vectors.update(zip(images, vectors, strict=True))
        # Under a name that is not read until it is complete.
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as file:
            np.savez(file, images=np.array(images, "U64"), vectors=vectors)
        Path(file.name).rename(Path(file.name).with_suffix(".npz"))


def _read(source: Source) -> bytes | BadImage:
    try:
        return source.read()
    except BadImage as error:
        return error
