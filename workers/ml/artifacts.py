"""Fitted heads as bytes: safetensors with JSON, so that reading one can never run a program."""

import json
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sklearn
from safetensors import SafetensorError
from safetensors.numpy import load, save
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler
from sklearn.svm import SVC

from workers.ml.lda import LogisticLDA
from workers.ml.paper_heads import PaperHead

FORMAT_VERSION: Final = 1
METADATA_KEY: Final = "fiftycells_head"
# Only these are ever made when a file is read, whatever the file says.
_ESTIMATORS: Final[dict[str, type]] = {
    kind.__name__: kind
    for kind in (
        LogisticLDA,
        PaperHead,
        Pipeline,
        PowerTransformer,
        StandardScaler,
        PCA,
        LogisticRegression,
        SVC,
        KNeighborsClassifier,
    )
}
Arrays = dict[str, npt.NDArray[Any]]


class ArtifactError(ValueError):
    """A stored head that cannot be read; the message says why."""


def dump_head(head: Any, card: dict[str, Any]) -> bytes:
    """Return a fitted head as safetensors bytes; the reloaded one gives the same numbers, bit by bit.

    `card` is JSON: `encoder_sha256`, `classes`, `labels_sha256`, `revision` of the code. The
    versions of scikit-learn and NumPy are added under `versions`.
    """
    arrays: Arrays = {}
    state = _encode(head, arrays)
    card = {**card, "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__}}
    description = {"format": FORMAT_VERSION, "card": card, "head": state}
    # JSON has no NaN; one in a card would be unreadable elsewhere.
    return save(arrays, {METADATA_KEY: json.dumps(description, allow_nan=False)})


def load_head(data: bytes) -> tuple[Any, dict[str, Any]]:
    """Return the head and its card from `dump_head`'s bytes; raise ArtifactError if they are not that."""
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size]) if size < len(data) else {}
        description = json.loads(header.get("__metadata__", {}).get(METADATA_KEY, "{}"))
        if description.get("format") != FORMAT_VERSION:
            raise ArtifactError(f"not a classifier of format {FORMAT_VERSION}")
        return _decode(description["head"], load(data)), description["card"]
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"the stored classifier cannot be read: {error}") from error


def _encode(value: Any, arrays: Arrays) -> Any:
    """Turn a fitted value into JSON; its numeric arrays go to `arrays` and are referred to by number."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool | int | float | str):
        return _plain(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "US":
            return {"strings": value.tolist()}
        key = f"{len(arrays)}"
        arrays[key] = np.ascontiguousarray(value)
        return {"array": key, "shape": value.shape, "fortran": value.flags.fnc}
    if isinstance(value, np.generic):
        return {"scalar": _encode(np.asarray([value]), arrays)}
    if isinstance(value, list | tuple):
        return {kind: [_encode(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_encode(k, arrays), _encode(v, arrays)] for k, v in value.items()]}
    if _ESTIMATORS.get(kind) is not type(value):
        raise TypeError(f"a {kind} cannot be stored")
    return {"estimator": kind, "state": {k: _encode(v, arrays) for k, v in vars(value).items()}}


def _plain(value: Any) -> Any:
    # Not a number and infinity, which JSON cannot say; scikit-learn uses them as settings.
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    return value


def _decode(value: Any, arrays: Arrays) -> Any:
    """Undo `_encode`."""
    if not isinstance(value, dict):
        return value
    (tag, content), *_ = value.items()
    readers: dict[str, Callable[[], Any]] = {
        "float": lambda: float(content),
        "strings": lambda: np.array(content),
        "array": lambda: _array(arrays[content], value),
        "scalar": lambda: _decode(content, arrays)[0],
        "list": lambda: [_decode(item, arrays) for item in content],
        "tuple": lambda: tuple(_decode(item, arrays) for item in content),
        "dict": lambda: {_decode(k, arrays): _decode(v, arrays) for k, v in content},
        "estimator": lambda: _estimator(content, value["state"], arrays),
    }
    return readers[tag]()


def _array(array: npt.NDArray[Any], stored: dict[str, Any]) -> npt.NDArray[Any]:
    # The memory order is kept as well: matrix products round differently in the other.
    array = array.reshape(stored["shape"])
    return np.asfortranarray(array) if stored["fortran"] else array


def _estimator(name: str, state: dict[str, Any], arrays: Arrays) -> Any:
    kind = _ESTIMATORS[name]
    estimator: Any = object.__new__(kind)
    vars(estimator).update({key: _decode(item, arrays) for key, item in state.items()})
    return estimator
