"""Which cells come next: every kind of cell first, then those that are worth a label."""

import numpy as np
import pytest

from workers.ml.heads import fit_head
from workers.ml.selection import CANDIDATES, MOST_CLUSTERED, clusters, cold_start, next_cells, unlike_first


def blobs(counts: list[int], apart: float = 6, dim: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes of these sizes."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    return rng.normal(size=(len(counts), dim))[y] * apart + rng.normal(size=(len(y), dim)), y


def test_without_labels_every_class_is_shown_by_its_most_typical_cells():
    X, y = blobs([300, 100, 30, 10])
    chosen = cold_start(X, 12)
    assert len(chosen) == len({*chosen.tolist()}) == 12
    assert {*y[chosen].tolist()} == {0, 1, 2, 3}
    spread = np.linalg.norm(X - np.stack([X[y == c].mean(0) for c in range(4)])[y], axis=1)
    assert spread[chosen].mean() < np.median(spread)
    assert (cold_start(X, 12) == chosen).all()


def test_clusters_hold_each_cell_once_the_largest_first():
    X, y = blobs([200, 60, 20])
    found = clusters(X, 3)
    assert [len(rows) for rows in found] == [200, 60, 20]
    assert sorted(np.concatenate(found)) == list(range(280))
    assert all(len({*y[rows].tolist()}) == 1 for rows in found)


def test_a_common_class_does_not_fill_the_first_groups():
    X, y = blobs([1000, 60, 40, 3])
    found = unlike_first(X, clusters(X, 16), smallest=8)
    assert sorted(np.concatenate(found)) == list(range(len(X)))
    assert {int(y[rows[0]]) for rows in found[:3]} == {0, 1, 2}
    assert len(found[0]) == max(map(len, found))
    assert min(map(len, found[:3])) >= 8


def test_few_cells_and_copies_give_fewer_and_no_cells_an_error():
    X, _ = blobs([2, 1])
    assert sorted(cold_start(X, 10)) == [0, 1, 2]
    assert len(cold_start(np.repeat(X[:1], 5, axis=0), 3)) == 1
    with pytest.raises(ValueError, match="no cell"):
        cold_start(X[:0], 3)


def test_of_a_million_cells_a_part_is_looked_at():
    X = np.random.default_rng(0).normal(size=(3 * MOST_CLUSTERED, 2)).astype(np.float16)
    rows = np.concatenate(clusters(X, 5))
    assert len(rows) <= MOST_CLUSTERED
    assert rows.max() > 2.9 * MOST_CLUSTERED


def test_next_cells_are_unsure_unlike_each_other_and_not_labelled():
    X, y = blobs([400, 400, 400], apart=1)
    labelled = np.concatenate([np.flatnonzero(y == c)[:5] for c in range(3)])
    proba = fit_head("ours", X[labelled], y[labelled]).predict_proba(X)
    chosen = next_cells(X, proba, labelled, np.array([5, 5, 5]), 8)
    assert len({*chosen.tolist()}) == 8
    assert not {*chosen.tolist()} & {*labelled.tolist()}
    ordered = np.sort(proba, axis=1)
    rank = (ordered[:, -1] - ordered[:, -2]).argsort().argsort()
    assert (rank[chosen] < CANDIDATES * 8 + len(labelled)).all()


def test_of_unsure_cells_that_are_all_alike_one_is_shown():
    X = np.concatenate([np.zeros((200, 4)), np.random.default_rng(0).normal(size=(7, 4)) + 20])
    proba = np.tile([0.51, 0.49], (207, 1))
    proba[:60] = 0.5  # the alike ones are the most unsure
    chosen = next_cells(X, proba, np.arange(0), np.array([5, 5]), 8)
    assert (chosen < 200).sum() == 1


def test_classes_with_few_labels_come_first():
    X, _ = blobs([300, 300], apart=0)
    proba = np.full((600, 2), 0.5)
    proba[:300, 0], proba[300:, 1] = 0.6, 0.6
    chosen = next_cells(X, proba, np.arange(0), np.array([40, 2]), 10)
    assert (chosen >= 300).all()
    assert len(next_cells(X, proba, np.arange(595), np.array([40, 2]), 10)) == 5
    assert len(next_cells(X, proba, np.arange(600), np.array([40, 2]), 10)) == 0
