"""Shift between scanners: found where there is one, not where there is none; alignment only where it helps."""

from functools import partial

import numpy as np
import pytest

from workers.ml.heads import fit_head
from workers.ml.shift import Alignment, choose_alignment, measure_shift, measure_shift_per_class


def scanner(
    n: int, seed: int, offset: float = 0, stretch: float = 1, apart: float = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Cells of three classes as a scanner of some colour and contrast sees them."""
    means = np.random.default_rng(0).normal(size=(3, 16)) * apart
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(["BAS", "EOS", "LYT"], n))
    X = means[np.unique(y, return_inverse=True)[1]] + rng.normal(size=(len(y), 16))
    return X * stretch + offset, y


def test_no_shift_between_two_samples_of_one_scanner_and_one_between_two_scanners():
    X, _ = scanner(60, 1)
    low = [measure_shift(X, scanner(60, seed)[0]) for seed in range(2, 22)]
    assert sum(shift.p_value < 0.05 for shift in low) <= 4
    assert sum(shift.interval[0] <= 0.5 <= shift.interval[1] for shift in low) >= 16
    small, large = (measure_shift(X, scanner(60, 2, offset)[0]) for offset in (0.3, 1.5))
    assert large.p_value <= 0.002
    assert large.separability > small.separability > 0.55
    assert large.mmd2 > small.mmd2
    assert large.interval[0] > 0.9
    assert large.interval[1] == 1
    assert large == measure_shift(X, scanner(60, 2, 1.5)[0])


def test_shift_needs_some_cells_and_is_told_per_class_where_there_are_labels():
    X, y = scanner(30, 1)
    X_new, y_new = scanner(30, 2)
    X_new[y_new == "EOS"] += 1.5
    few = np.concatenate([np.flatnonzero(y_new != "LYT"), np.flatnonzero(y_new == "LYT")[:2]])
    found = measure_shift_per_class(X, y, X_new[few], y_new[few])
    assert [*found] == ["BAS", "EOS"]
    assert found["EOS"].separability > 0.9 > found["BAS"].separability
    with pytest.raises(ValueError, match="got 90 and 2"):
        measure_shift(X, X_new[:2])


@pytest.mark.parametrize("kind", Alignment.KINDS)
def test_alignment_maps_the_new_scanner_onto_the_reference(kind):
    X, _ = scanner(400, 1)
    X_new, _ = scanner(400, 2, offset=3, stretch=1.7)
    before, after = (abs(Z.mean(0) - X.mean(0)).max() for Z in (X_new, Alignment(kind).fit(X, X_new).transform(X_new)))
    assert after < 0.2 or (kind == "none" and after == before)
    if kind in {"standardise", "coral"}:
        deviations = Alignment(kind).fit(X, X_new).transform(X_new).std(0) / X.std(0)
        assert abs(deviations - 1).max() < 0.2
    with pytest.raises(ValueError, match="coral"):
        Alignment("warp")


def test_alignment_is_chosen_only_where_the_labels_speak_for_it():
    fit = partial(fit_head, "ours")
    X_same, y_same = scanner(60, 3, apart=0.5)
    X_far, y_far = scanner(60, 3, offset=4, apart=0.5)
    reference = scanner(60, 1, apart=0.5)
    kind, accuracy = choose_alignment(reference, (X_same[:45], y_same[:45]), X_same[45:], fit)
    assert kind == "none"
    assert {*accuracy} == {*Alignment.KINDS}
    kind, accuracy = choose_alignment(reference, (X_far[:45], y_far[:45]), X_far[45:], fit)
    assert kind != "none"
    assert accuracy[kind] > accuracy["none"]
