"""Figures of agreement against the examples of the papers they are from."""

import numpy as np
import pytest

from app.readings.agreement import cohen_kappa, difference, fleiss_kappa, one_class, proportion

FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def test_proportions_and_their_difference() -> None:
    found = proportion(15, 148)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.0624, 0.1605), abs=5e-5)  # Newcombe 1998, Stat Med 17:857
    first, second = proportion(56, 70), proportion(48, 80)
    assert first is not None
    assert second is not None
    between = difference(first, second)
    assert (between.value, between.low, between.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert proportion(0, 0) is None


def test_cohens_kappa() -> None:
    found = cohen_kappa(np.array([[20, 5], [10, 15]]))
    assert found is not None
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.4 < found.high
    certain = cohen_kappa(np.array([[3, 0], [0, 2]]))
    assert certain is not None
    assert (certain.value, certain.high) == (1, 1)
    assert certain.low < 0.5  # five cells that agree prove little
    assert cohen_kappa(np.array([[5, 0], [0, 0]])) is None
    three = np.array([[4, 1, 0], [2, 5, 0], [0, 1, 3]])
    assert one_class(three, 0).tolist() == [[4, 1], [2, 9]]


def test_fleiss_kappa() -> None:
    found = fleiss_kappa(np.array(FLEISS))
    assert found is not None
    assert found.value == pytest.approx(0.210, abs=5e-4)
    assert fleiss_kappa(np.zeros((0, 3), np.int64)) is None
    assert fleiss_kappa(np.array([[2, 0], [3, 0]])) is None
