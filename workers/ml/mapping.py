"""Cells on a plane: those alike lie together. Some are laid out together, the others placed among them."""

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state

with warnings.catch_warnings():
    # On import it warns that there is no TensorFlow, for a part that is not used here.
    warnings.simplefilter("ignore", ImportWarning)
    from umap.umap_ import find_ab_params, fuzzy_simplicial_set, simplicial_set_embedding

FITTED: Final = 20_000
"""Cells that are laid out together; more would take longer and look the same."""
ALIKE: Final = 15
"""Neighbours UMAP keeps together."""
NEAREST: Final = 9
"""Neighbours a cell is placed among."""
MOST: Final = 5
"""Of these it comes to the middle of the ones that lie together."""
FEWEST: Final = 2 * ALIKE
"""Fewer cells than this are projected onto their two main directions."""
CHUNK: Final = 10_000
_SEED: Final = 0

Matrix = npt.NDArray[np.floating[Any]]
Places = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


def choose(labelled: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Choose which of n cells are laid out together: rows in random order, at most FITTED.

    Labelled ones come before others, up to half of them: a rare class that people have found keeps a place of its own.
    """
    rows = np.random.default_rng(_SEED).permutation(len(labelled))
    known = rows[labelled[rows]][: FITTED // 2]
    rest = np.setdiff1d(rows, known, assume_unique=True)
    chosen = np.concatenate([known, np.random.default_rng(_SEED).permutation(rest)[: FITTED - len(known)]])
    return np.random.default_rng(_SEED).permutation(chosen)


def lay_out(X: Matrix, progress: Progress) -> Places:
    """Lay cells with embeddings X (n, d) out together: places (n, 2) within -1 and 1, the same every time.

    UMAP (McInnes, Healy & Melville 2018) on exact neighbours; `progress` is told done and all of its passes.
    """
    X = np.asarray(X, np.float32)
    if len(X) < FEWEST or not X.std(0).any():
        return _within_one(_flattened(X))
    distances, neighbours = NearestNeighbors(n_neighbors=ALIKE, algorithm="brute").fit(X).kneighbors(X)
    random = check_random_state(_SEED)
    graph, _, _ = fuzzy_simplicial_set(
        X, ALIKE, random, "euclidean", knn_indices=neighbours.astype(np.int32), knn_dists=distances.astype(np.float32)
    )
    a, b = find_ab_params(spread=1.0, min_dist=0.1)
    places, _ = simplicial_set_embedding(
        X,
        graph,
        n_components=2,
        initial_alpha=1.0,
        a=a,
        b=b,
        gamma=1.0,
        negative_sample_rate=5,
        n_epochs=500 if len(X) <= FITTED // 2 else 200,  # as UMAP does
        init="pca",
        random_state=random,
        metric="euclidean",
        metric_kwds={},
        densmap=False,
        densmap_kwds={},
        output_dens=False,
        tqdm_kwds={"file": _Listener(progress), "bar_format": "{n}/{total}", "disable": False},
    )
    return _within_one(places)


def place(
    vectors: Matrix, rows: npt.NDArray[np.integer[Any]], fitted: Matrix, places: Places, progress: Progress
) -> Places:
    """Place cells, `rows` (n,) of `vectors` (N, d), among those laid out, `fitted` (m, d) at `places` (m, 2).

    Returns (n, 2). `vectors` may be a file of any size; of it, CHUNK rows are in memory at a time. Each cell comes to
    where most of its nearest neighbours are: a mean of all would lie in the void between two groups. It depends on no
    other cell, so nothing moves however many are added.
    """
    index = NearestNeighbors(n_neighbors=min(NEAREST, len(places)), algorithm="brute")
    index.fit(np.asarray(fitted, np.float32))
    found = np.empty((len(rows), 2), np.float32)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        distances, neighbours = index.kneighbors(np.asarray(vectors[rows[part]], np.float32))
        found[part] = _among(places[neighbours], distances)
        progress(min(start + CHUNK, len(rows)), len(rows))
    return found


def _among(places: Places, distances: npt.NDArray[np.floating[Any]]) -> Places:
    """Return the mean of the MOST neighbours at `places` (n, k, 2) that lie closest to their median, nearer ones first.

    `distances` (n, k) are those of the embeddings; neighbours weigh by their inverse.
    """
    off = np.square(places - np.median(places, axis=1, keepdims=True)).sum(2)
    most = np.argpartition(off, min(MOST, off.shape[1]) - 1, axis=1)[:, :MOST]
    weights = 1 / (np.take_along_axis(distances, most, 1) + np.finfo(np.float32).eps)
    weights /= weights.sum(1, keepdims=True)
    return np.asarray((np.take_along_axis(places, most[:, :, None], 1) * weights[:, :, None]).sum(1), np.float32)


class _Listener:
    """The file that UMAP writes its progress bar to; the bar is "done/all"."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, text: str) -> None:
        """Pass on what the bar says."""
        done, slash, total = text.strip().partition("/")
        if slash:
            self._progress(int(done), int(total))

    def flush(self) -> None:
        """Nothing is kept back."""


def _flattened(X: npt.NDArray[np.float32]) -> Places:
    """Project on the two main directions; one is empty where there is only one."""
    left, lengths, _ = np.linalg.svd(X - X.mean(0), full_matrices=False)
    places = np.zeros((len(X), 2), np.float32)
    places[:, : len(lengths)] = (left * lengths)[:, :2]
    return places


def _within_one(places: Places) -> Places:
    """Move and scale to the square from -1 to 1, keeping proportions."""
    low, high = places.min(0), places.max(0)
    half = max(float((high - low).max()) / 2, np.finfo(np.float32).tiny)
    return np.asarray((places - (low + high) / 2) / half, np.float32)
