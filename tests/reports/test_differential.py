"""Intervals, the correction for confusion, and what of a slide makes its differential."""

import numpy as np
import pytest

from app.models import Reporting
from app.reports.correction import correct
from app.reports.differential import (
    NONE,
    Confusion,
    Kind,
    beside_of,
    correction,
    flags_of,
    measured,
    rows_of,
    window,
)
from app.reports.intervals import cells_needed, limits

CODES = ("NGS", "NGB", "LYT", "EBO")
KINDS = [Kind(at, code, code, 1 if code == "NGB" else None, code != "EBO") for at, code in enumerate(CODES, 1)]
LOW, HIGH = 0.025, 0.975


def reporting(ranges: dict[str, tuple[float, float]]) -> Reporting:
    return Reporting(ranges=ranges, within=5.0, loinc={})


def classes(**counts: int) -> np.ndarray:
    """Cells of so many of each class, one class after the other; "none" are unclassified."""
    places = {code: at for at, code in enumerate(CODES)} | {"none": NONE}
    return np.concatenate([np.full(count, places[code]) for code, count in counts.items()]).astype(np.int64)


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    # Per cent in Rümke's table, which rounds outwards to whole ones.
    [
        (0, 100, 0, 4),
        (1, 100, 0, 6),
        (10, 100, 4, 18),
        (50, 100, 39, 61),
        (0, 200, 0, 2),
        (20, 200, 6, 16),
        (50, 500, 7, 13),
    ],
)
def test_limits_are_those_of_the_table_of_ruemke(count: int, n: int, low: int, high: int) -> None:
    found = [100 * float(each) for each in limits(count, n)]
    assert (int(np.floor(found[0])), int(np.ceil(found[1]))) == (low, high)


@pytest.mark.parametrize("share", [0.002, 0.01, 0.05, 0.3, 0.6])
def test_limits_cover_the_truth_in_at_least_95_percent_of_the_slides(share: float) -> None:
    counts = np.random.default_rng(0).binomial(200, share, 20_000)
    low, high = limits(counts, 200)
    assert ((low <= share) & (share <= high)).mean() >= 0.948


def test_so_many_cells_are_needed_and_no_fewer() -> None:
    shares = np.array([0.0, 0.02, 0.25, 0.6])
    needed = cells_needed(shares, 0.05)
    for n, narrow in ((needed, True), (needed - 1, False)):
        low, high = limits(shares * n, n)
        assert ((high - low) / 2 <= 0.05).tolist() == [narrow] * 4


def test_confusion_is_corrected_where_it_is_known() -> None:
    truth, confused = np.array([0.7, 0.25, 0.05]), np.array([[0.9, 0.02, 0.08], [0.05, 0.95, 0], [0, 0, 1]])
    random = np.random.default_rng(1)
    counted = tuple(tuple(random.multinomial(200, row).tolist()) for row in confused)
    hits, errors = 0, []
    for _slide in range(60):
        predicted = random.multinomial(500, truth @ confused)
        found = correct(tuple(predicted.tolist()), counted, (0, 0, 0))
        share, draws = found.cells / 500, found.draws / 500
        errors.append([abs(predicted[2] / 500 - 0.05), abs(share[2] - 0.05)])
        low, high = np.quantile(draws[:, 2], (LOW, HIGH))
        hits += low <= 0.05 <= high
    raw, corrected = np.mean(errors, axis=0)
    assert corrected < raw / 2
    assert hits >= 51  # 85 %: one table of confusions serves all slides


def test_fifty_labels_without_an_error_prove_no_perfection() -> None:
    perfect = tuple(tuple(50 if i == j else 0 for j in range(3)) for i in range(3))
    found = correct((150, 50, 0), perfect, (0, 0, 0))
    assert np.allclose(found.cells, [150, 50, 0])
    assert np.quantile(found.draws[:, 0], HIGH) - np.quantile(found.draws[:, 0], LOW) > 20
    assert found is correct((150, 50, 0), perfect, (0, 0, 0))


def test_what_people_saw_is_not_corrected() -> None:
    cells = classes(NGS=30, LYT=10)
    confusion = Confusion(("NGS", "LYT"), ((40, 10), (5, 45)))
    reason = "People have seen all counted cells: nothing is left to correct."
    assert correction(KINDS, cells, np.ones(40, bool), confusion) == reason
    nobody = correction(KINDS, classes(none=4), np.zeros(4, bool), confusion)
    assert nobody == "No cell is classified: nothing is there to correct."
    half = correction(KINDS, cells, np.arange(40) < 20, confusion)
    assert not isinstance(half, str)
    assert half.cells.sum() == pytest.approx(40)
    assert half.draws[:, 0].min() >= 20  # seen neutrophils
    for missing, words in ((None, "cross-validated"), (Confusion(("NGS", "LYT"), ((4, 1), (0, 0))), "No label of LYT")):
        found = correction(KINDS, cells, np.zeros(40, bool), missing)
        assert isinstance(found, str)
        assert words in found


def test_the_first_hundred_leukocytes_are_counted_and_nothing_after() -> None:
    cells = classes(NGS=60, EBO=7, none=3, LYT=100)
    assert window(cells, KINDS, 100) == 60 + 7 + 3 + 40
    assert window(cells, KINDS, 200) == window(cells, KINDS, 0) == len(cells)
    assert window(cells[:0], KINDS, 100) == 0


def test_classes_are_summed_under_their_parent_and_some_are_no_part_of_it() -> None:
    cells = classes(NGS=60, NGB=10, LYT=30, EBO=5, none=4)
    rows = rows_of(KINDS, cells, None, reporting({"1+": (45, 69), "3": (20, 45)}))
    assert [(row.code, row.level, row.count, row.share) for _line, row in rows] == [
        ("NGS + NGB", 0, 70, 0.7), ("NGS", 1, 60, 0.6), ("NGB", 1, 10, 0.1), ("LYT", 0, 30, 0.3),
    ]  # fmt: skip
    total, *_rest, lymphocytes = (row for _line, row in rows)
    assert (total.outside, total.certain, lymphocytes.outside) == ("above", False, "")
    [(_subject, erythroblasts)] = beside_of(KINDS, cells, {})
    assert (erythroblasts.code, erythroblasts.count, erythroblasts.per_100) == ("EBO", 5, 5)
    assert erythroblasts.low is not None
    assert erythroblasts.low < 5 < (erythroblasts.high or 0)


def test_a_flag_says_whether_it_is_sure() -> None:
    def flags(**counts: int) -> list[tuple[str, bool]]:
        cells = classes(**counts)
        rows, beside = rows_of(KINDS, cells, None, reporting({})), beside_of(KINDS, cells, {})
        leukocytes = sum(count for code, count in counts.items() if code not in ("EBO", "none"))
        rules = [
            {"subject": "2", "comparison": ">=", "threshold": 5, "text": "Left shift"},
            {"subject": "cells", "comparison": "<", "threshold": 100, "text": "Few cells"},
            {"subject": "4", "comparison": ">=", "threshold": 10, "text": "Erythroblasts"},
            {"subject": "99", "comparison": ">=", "threshold": 0, "text": "Of a class that is gone"},
        ]
        found = flags_of(rules, measured(rows, beside, leukocytes, counts.get("none", 0)))
        return [(flag.text, flag.certain) for flag in found]

    assert flags(NGS=94, NGB=6) == [("Left shift", False)]
    assert flags(NGS=80, NGB=20, EBO=30) == [("Left shift", True), ("Erythroblasts", True)]
    assert flags(NGS=60) == [("Few cells", True)]
    assert flags(none=3) == [("Few cells", True)]
