"""Heads keep scikit-learn's promises, work from the first few labels on, and reload bit by bit."""

import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from workers.ml.artifacts import ArtifactError, dump_head, load_head
from workers.ml.evaluation import (
    balanced_interval,
    cross_validate,
    expected_calibration_error,
    gain_of_more,
    jeffreys,
    roll_up,
)
from workers.ml.heads import CHUNK, HEADS, fit_head, make_head, score
from workers.ml.lda import LogisticLDA

OURS = partial(fit_head, "ours")
CARD = {"encoder_sha256": "e", "classes": ["BAS", "EOS"], "labels_sha256": "l", "git_revision": None}


def cells(counts: dict[str, int], dim: int = 16, apart: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes of unequal size around random means."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(len(counts), dim)) * apart
    y = np.repeat(list(counts), list(counts.values()))
    X = np.repeat(means, list(counts.values()), axis=0) + rng.normal(size=(len(y), dim))
    return X, y


@pytest.mark.parametrize("name", HEADS)
def test_keeps_the_promises_of_scikit_learn(name):
    check_estimator(make_head(name), on_skip=None)


@pytest.mark.parametrize("name", HEADS)
def test_learns_and_reloads_to_the_last_bit(name):
    X, y = cells({"BAS": 20, "EOS": 12, "LYT": 9})
    head = make_head(name).fit(X, y)
    data = dump_head(head, CARD)
    reloaded, card = load_head(data)
    fresh, truth = cells({"BAS": 50, "EOS": 50, "LYT": 50})
    assert (head.predict(fresh) == truth).mean() > 0.8
    assert (reloaded.predict_proba(fresh) == head.predict_proba(fresh)).all()
    assert (reloaded.predict(fresh) == head.predict(fresh)).all()
    ours, theirs = score(head, fresh.astype(np.float16)), score(reloaded, fresh.astype(np.float16))
    assert (ours.proba == theirs.proba).all()
    assert (ours.novelty == theirs.novelty).all()
    assert card.items() >= CARD.items()
    assert "scikit-learn" in card["versions"]


def test_files_that_are_no_heads_are_refused():
    X, y = cells({"BAS": 4, "EOS": 4})
    data = dump_head(LogisticLDA().fit(X, y), CARD)
    assert load_head(data)[0].classes_.tolist() == ["BAS", "EOS"]
    evil = data.replace(b"LogisticLDA", b"subprocessXX")
    for broken in (b"", b"x" * 50, data[:-3], data[:40], evil):
        with pytest.raises(ArtifactError):
            load_head(broken)
    with pytest.raises(TypeError, match="cannot be stored"):
        dump_head(object(), CARD)


def test_unknown_head_names_the_known():
    with pytest.raises(ValueError, match="paper-lr"):
        make_head("xgboost")


@pytest.mark.parametrize("counts", [{"a": 2, "b": 2}, {"a": 1, "b": 1}, {"a": 1, "b": 60}, {"a": 3, "b": 50, "c": 2}])
def test_ours_works_from_very_few_and_unequal_labels(counts):
    X, y = cells(counts, dim=128, apart=2)
    head = LogisticLDA().fit(X, y)
    proba = head.predict_proba(X)
    assert np.isfinite(proba).all()
    assert np.isfinite(head.novelty(X)).all()
    np.testing.assert_allclose(proba.sum(1), 1)
    assert (head.predict(X) == y).all()


def test_ours_survives_copies_and_constant_features():
    X = np.repeat([[0.0, 1.0, 5.0], [1.0, 0.0, 5.0]], 3, axis=0)
    head = LogisticLDA().fit(X, list("aaabbb"))
    assert head.predict(X).tolist() == list("aaabbb")
    assert np.isfinite(head.novelty(X + 1)).all()
    with pytest.raises(ValueError, match="two classes"):
        LogisticLDA().fit(X, ["a"] * 6)


def test_a_rare_class_is_not_swallowed_by_a_frequent_one():
    X, y = cells({"NGS": 400, "BAS": 8}, apart=0.8)
    fresh, truth = cells({"NGS": 200, "BAS": 200}, apart=0.8)
    head = LogisticLDA().fit(X, y)
    assert (head.predict(fresh) == truth)[truth == "BAS"].mean() > 0.85


def test_unlabelled_cells_help_while_labels_are_few_and_hardly_matter_later():
    pool, truth = cells({"a": 900, "b": 900, "c": 40}, dim=32, apart=0.6)
    fresh, true = cells({"a": 300, "b": 300, "c": 300}, dim=32, apart=0.6)

    def right(per_class: int, unlabelled: np.ndarray | None) -> float:
        shares = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            drawn = [rng.permutation(np.flatnonzero(truth == c))[:per_class] for c in ("a", "b", "c")]
            chosen = np.concatenate(drawn)
            head = fit_head("ours", pool[chosen], truth[chosen], unlabelled)
            shares.append((head.predict(fresh) == true).mean())
        return float(np.mean(shares))

    assert right(3, pool) > right(3, None) + 0.01
    assert right(3, pool[:0]) == right(3, None)
    assert abs(right(40, pool) - right(40, None)) < 0.01


def test_probabilities_are_calibrated_where_classes_overlap():
    X, y = cells({"a": 50, "b": 50, "c": 50}, dim=64, apart=0.25)
    fresh, truth = cells({"a": 700, "b": 700, "c": 700}, dim=64, apart=0.25)
    head = LogisticLDA().fit(X, y)
    codes = np.searchsorted(head.classes_, truth)
    calibrated = expected_calibration_error(codes, head.predict_proba(fresh))
    head.temperature_ = 1.0
    assert calibrated < 0.08
    assert calibrated < expected_calibration_error(codes, head.predict_proba(fresh))


def test_novelty_passes_known_cells_and_finds_a_class_it_never_saw():
    X, y = cells({"a": 50, "b": 50, "new": 50}, dim=32)
    fresh, truth = cells({"a": 300, "b": 300, "new": 300}, dim=32, seed=0)
    known = y != "new"
    novelty = LogisticLDA().fit(X[known], y[known]).novelty(fresh)
    assert 0.85 < (novelty[truth != "new"] <= 1).mean() <= 1
    assert np.median(novelty[truth == "new"]) > np.quantile(novelty[truth != "new"], 0.95)


def test_a_class_without_labels_stays_novel_when_its_cells_are_among_the_unlabelled():
    X, y = cells({"a": 50, "b": 50, "new": 50}, dim=32)
    fresh, truth = cells({"a": 300, "b": 300, "new": 300}, dim=32, seed=0)
    known = y != "new"
    novelty = LogisticLDA().fit(X[known], y[known], fresh).novelty(fresh)
    assert (novelty[truth != "new"] <= 1).mean() > 0.85
    assert np.median(novelty[truth == "new"]) > np.quantile(novelty[truth != "new"], 0.95)


def test_scoring_a_mapped_matrix_equals_scoring_it_at_once(tmp_path):
    X, y = cells({"a": 20, "b": 20})
    head = LogisticLDA().fit(X, y)
    rows = CHUNK * 2 + 5
    matrix = np.memmap(tmp_path / "matrix", np.float16, "w+", shape=(rows, 16))
    matrix[:] = np.random.default_rng(0).normal(size=(rows, 16))
    scores = score(head, matrix)
    whole = np.asarray(matrix, np.float32)
    assert scores.proba.dtype == scores.novelty.dtype == np.float16
    np.testing.assert_allclose(scores.proba, head.predict_proba(whole), atol=1e-3)
    np.testing.assert_allclose(scores.novelty, head.novelty(whole), rtol=2e-3)
    assert score(head, matrix[:0]).proba.shape == (0, 2)


def test_cross_validation_agrees_with_fresh_cells():
    covered = 0
    for seed in range(10):
        X, y = cells({"a": 550, "b": 550, "c": 550}, apart=0.5, seed=seed)
        few = np.concatenate([np.flatnonzero(y == code)[:50] for code in "abc"])
        evaluation = cross_validate(X[few], y[few], OURS)
        fresh = np.setdiff1d(np.arange(len(y)), few)
        real = (LogisticLDA().fit(X[few], y[few]).predict(X[fresh]) == y[fresh]).mean()
        low, high = evaluation.balanced_accuracy_interval
        covered += low < real < high
        assert low < evaluation.balanced_accuracy < high
        assert evaluation.confusion.sum() == evaluation.held_out == 150
    assert covered >= 8  # intervals of 95 %
    assert (evaluation.proba == cross_validate(X[few], y[few], OURS).proba).all()


def test_more_labels_are_worth_most_where_recall_still_grows():
    X, y = cells({"clear": 60, "a": 60, "b": 60, "rare": 6}, dim=128, apart=0.2)
    X[y == "clear"] += 4
    gain = gain_of_more(X, y, OURS, cross_validate(X, y, OURS))
    a, b, clear, rare = gain
    assert np.isnan(rare)
    assert clear < 0.005 < (a + b) / 2 < 0.15
    assert (gain_of_more(X, y, OURS, cross_validate(X, y, OURS), more=40)[:2] > gain[:2]).all()
    few = (y == "rare") | (y == "clear")  # nothing to compare one class with
    assert np.isnan(gain_of_more(X[few], y[few], OURS, cross_validate(X[few], y[few], OURS))).all()


def test_a_parent_is_as_probable_as_its_children():
    X, y = cells({"NGB": 40, "NGS": 40, "LYT": 40}, apart=0.4)
    found = cross_validate(X, y, OURS)
    top = roll_up(y, found.proba, found.classes, {"NGB": "NEU", "NGS": "NEU", "LYT": "WBC", "WBC": "CELL"})
    assert top.classes == ["CELL", "NEU"]
    np.testing.assert_allclose(top.proba[:, 1], found.proba[:, 1] + found.proba[:, 2])
    assert top.confusion.sum(1).tolist() == [40, 80]
    assert top.balanced_accuracy > found.balanced_accuracy
    assert roll_up(y, found.proba, found.classes, {}).balanced_accuracy == found.balanced_accuracy


def test_cross_validation_with_fewer_labels_than_folds():
    X, y = cells({"a": 30, "b": 3, "c": 1}, apart=2)
    evaluation = cross_validate(X, y, OURS)
    assert evaluation.confusion.sum(1).tolist() == [30, 3, 0]
    assert evaluation.notes == ["c: its only label was not held out"]
    assert np.isnan(evaluation.recall[2])
    assert evaluation.recall_interval[1][0] < 0.6  # three labels prove little, even all three right
    with pytest.raises(ValueError, match="two classes"):
        cross_validate(*cells({"a": 9, "b": 1}), OURS)


def test_intervals_are_honest_for_few_labels():
    assert jeffreys(5, 5)[1] == 1
    assert 0.6 < jeffreys(5, 5)[0] < 0.7
    rights = np.random.default_rng(0).binomial(10, 0.8, 2000)
    covered = np.mean([low <= 0.8 <= high for low, high in (jeffreys(int(right), 10) for right in rights)])
    assert 0.92 < covered < 0.99
    few, many = balanced_interval(np.array([2, 2]), np.array([2, 2])), balanced_interval(*np.full((2, 2), 50))
    assert few[0] < 0.7 < 0.95 < many[0]


def test_no_warning_reaches_the_log():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in HEADS:
            make_head(name).fit(*cells({"a": 6, "b": 6}))
    assert not caught
