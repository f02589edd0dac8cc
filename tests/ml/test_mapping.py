"""The map: cells alike lie together, and nothing moves when others come."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from workers.ml.mapping import FITTED, choose, lay_out, place


def blobs(counts: list[int], dim: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes of these sizes, in random order."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    centres = np.random.default_rng(99).normal(size=(len(counts), dim)) * 3
    return (centres[y] + rng.normal(size=(len(y), dim))).astype(np.float16), y


def ignore(_done: int, _total: int) -> None:
    """Nobody looks at the progress."""


@pytest.fixture(scope="module")
def laid_out() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X, y = blobs([200, 150, 100, 50])
    return X, y, lay_out(X, ignore)


def test_classes_lie_apart_within_the_square_and_everything_is_repeatable(laid_out):
    X, y, places = laid_out
    assert places.shape == (500, 2)
    assert places.dtype == np.float32
    assert np.abs(places).max() == pytest.approx(1)
    assert KNeighborsClassifier(10).fit(places[:400], y[:400]).score(places[400:], y[400:]) > 0.98
    told: list[tuple[int, int]] = []
    assert (lay_out(X, lambda done, total: told.append((done, total))) == places).all()
    assert told[-1] == (500, 500)


def test_added_cells_come_to_their_like_whoever_else_is_added(laid_out):
    X, y, places = laid_out
    more, kinds = blobs([40, 40, 40, 40], seed=1)
    rows = np.arange(len(more))
    told: list[tuple[int, int]] = []
    added = place(more, rows, X, places, lambda done, total: told.append((done, total)))
    assert KNeighborsClassifier(10).fit(places, y).score(added, kinds) > 0.98
    assert told == [(160, 160)]
    assert (place(more, rows[::-1][:7], X, places, ignore) == added[::-1][:7]).all()


def test_few_cells_have_places_too():
    X, _ = blobs([12, 12])
    for count in (1, 2, 3, 24):
        places = lay_out(X[:count], ignore)
        assert places.shape == (count, 2)
        assert np.isfinite(places).all()
        assert place(X, np.arange(24), X[:count], places, ignore).shape == (24, 2)
    assert np.isfinite(lay_out(np.zeros((40, 4)), ignore)).all()


def test_of_many_cells_some_are_laid_out_together_among_them_all_that_are_labelled():
    labelled = np.zeros(3 * FITTED, bool)
    labelled[:100] = True
    rows = choose(labelled)
    assert len(rows) == len(set(rows.tolist())) == FITTED
    assert set(range(100)) <= set(rows.tolist())
    assert rows[:100].max() > FITTED  # in random order
    assert (choose(labelled) == rows).all()
    labelled[:] = True
    assert len(choose(labelled)) == FITTED
    assert sorted(choose(labelled[:5])) == list(range(5))
