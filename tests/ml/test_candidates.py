"""Candidates for a new scanner: told on cells none has learnt from."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from workers.ml.artifacts import dump_head, load_head
from workers.ml.candidates import CANDIDATES, TRAINED, Seen, Truth, compare, expect_of_best, holm
from workers.ml.heads import fit_head
from workers.ml.shift import Alignment

fit = partial(fit_head, "ours")
Part = tuple[np.ndarray, np.ndarray]


def cells(n: int, seed: int, offset: float = 0) -> Part:
    """Cells of three classes; to another scanner the first looks as the second does to this one."""
    means = np.random.default_rng(0).normal(size=(3, 12)) * 0.7
    rng = np.random.default_rng(seed)
    y = np.repeat(["BAS", "EOS", "LYT"], n)
    return means[np.repeat([0, 1, 2], n)] + rng.normal(size=(3 * n, 12)) + offset * (means[1] - means[0]), y


def parts(reference: Part, new: Part, unlabelled: Part, validation: Part) -> tuple[Seen, Truth]:
    return (
        Seen(reference[0], new[0], unlabelled[0], validation[0]),
        Truth(reference[1], new[1], validation[1]),
    )


NONE: Part = np.empty((0, 12)), np.empty(0, "<U3")


def compared(labels: int, seed: int = 0, offset: float = 1, trained: float | None = None) -> dict[str, Any]:
    """Compare; an encoder `trained` further sees the new scanner's cells as far off as that."""

    def seen(offset: float) -> tuple[Seen, Truth]:
        new = cells(labels, 100 + seed, offset) if labels else NONE
        return parts(cells(50, seed), new, cells(60, 200 + seed, offset), cells(60, 300 + seed, offset))

    further = seen(trained)[0] if trained is not None else None
    found, heads = compare(*seen(offset), fit, further)
    for each in found.candidates:
        stored, _card = load_head(dump_head(heads[each.name], {}))
        X = further.validation if further and each.name == TRAINED else seen(offset)[0].validation
        assert (stored.predict(X) == seen(offset)[1].validation).sum() == sum(each.right)
    return {each.name: each for each in found.candidates} | {"recommended": found.recommended}


def test_labels_and_alignment_beat_direct_transfer() -> None:
    found = compared(15)
    assert found.pop("recommended") in found
    direct = found["existing"]
    assert [*found] == [name for name in CANDIDATES if name != TRAINED]
    assert all(each.balanced_accuracy > direct.balanced_accuracy for each in found.values() if each != direct)
    assert direct.p_value is None
    assert found["both, aligned"].p_value < 0.01


def test_without_labels_only_what_exists_is_judged_and_kept() -> None:
    found = compared(0)
    assert [*found] == ["existing", "existing, aligned", "recommended"]
    assert found["recommended"] == "existing, aligned"
    low, high = found["existing"].interval
    assert low < found["existing"].balanced_accuracy < high
    assert found["existing"].total == [60, 60, 60]
    with pytest.raises(ValueError, match="no validation cell"):
        compare(*parts(cells(5, 0), cells(5, 1), cells(5, 2), NONE), fit)


def test_an_encoder_that_was_trained_further_is_a_candidate_judged_by_what_it_sees() -> None:
    found = compared(8, trained=0)
    assert found[TRAINED].balanced_accuracy > found["both"].balanced_accuracy
    assert found[TRAINED].held_out > found["both"].held_out
    worse, without = compared(8, trained=3), compared(8)
    assert worse["recommended"] == without["recommended"]
    assert worse["both"] == replace(without["both"], p_value=worse["both"].p_value)


def test_no_head_learns_from_validation_labels() -> None:
    X, y = cells(40, 7, 1)
    one, other = (
        compare(*parts(cells(50, 1), cells(8, 2, 1), cells(60, 3, 1), (X, labels)), fit)[0] for labels in (y, y[::-1])
    )
    assert [each.held_out for each in one.candidates] == [each.held_out for each in other.candidates]
    assert sum(one.candidates[-1].right) > sum(other.candidates[-1].right)


@pytest.mark.parametrize("seed", range(3))
def test_the_recommended_one_is_close_to_the_best(seed: int) -> None:
    found = compared(10, seed)
    recommended = found.pop("recommended")
    best = max(each.balanced_accuracy for each in found.values())
    assert found[recommended].balanced_accuracy > best - 0.01


def test_what_is_expected_of_the_best_is_not_flattered_by_the_choice() -> None:
    rng, codes = np.random.default_rng(0), np.repeat([0, 1, 2], 20)
    found = []
    for seed in range(20):  # candidates that are right by chance: the best of them is no better than the others
        hits = rng.random((5, 60)) < 0.8
        expected, interval = expect_of_best(hits, codes, seed)
        assert expected is not None
        assert interval is not None
        assert interval[0] < expected < interval[1]
        found.append((hits.mean(1).max(), expected))
    best, expected = np.mean(found, axis=0)
    assert best > 0.84
    assert expected == pytest.approx(0.8, abs=0.02)
    assert expect_of_best(np.ones((2, 2), bool), np.array([0, 1])) == (None, None)


def test_an_aligned_head_takes_cells_as_they_are() -> None:
    X, y = cells(30, 1)
    head, new = fit(X, y), cells(20, 2, 1)[0] * 3 + 1
    aligned = Alignment("standardise").fit(X, new)
    folded = head.after(aligned.from_, np.diag(aligned.matrix_), aligned.to_)
    for one, other in zip(folded.predict_both(new), head.predict_both(aligned.transform(new)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_holm() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
