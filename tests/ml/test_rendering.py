"""Generated cells: the same for the same seed, different otherwise, and learnable but not by everyone."""

import csv
import hashlib
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import regionprops
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from typer import Typer
from typer.testing import CliRunner

from workers.ml.rendering import CLASSES, SCANNERS, cheap_cells, demo_cells, main, render_cell


def digest(pixels):
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def middle_of(pixels):
    quarter = len(pixels) // 4
    return pixels[quarter:-quarter, quarter:-quarter]


def nucleus_of(pixels):
    """Mask of the largest connected dark region."""
    density = -np.log((pixels.astype(np.float32) + 1) / (np.percentile(pixels, 95, axis=(0, 1)) + 1))
    dark = ndimage.binary_opening(ndimage.gaussian_filter(density[..., 0], 1) > 0.65, iterations=1)
    regions, count = ndimage.label(dark)
    if count == 0:
        return dark
    return regions == 1 + np.argmax(ndimage.sum_labels(dark, regions, range(1, count + 1)))


def features_of(pixels):
    """Nine colours and shapes a student would look at first."""
    mask = nucleus_of(pixels)
    if mask.sum() < 20:
        return np.zeros(9)
    shape = regionprops(mask.astype(int))[0]
    around = ndimage.binary_dilation(mask, iterations=8) & ~ndimage.binary_dilation(mask, iterations=2)
    inside, outside = pixels[mask] / 255, pixels[around] / 255
    return np.hstack([shape.area**0.5 / 100, shape.solidity, inside.std(), inside.mean(0), outside.mean(0)])


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("code", CLASSES)
def test_every_class_renders_on_every_scanner(code, scanner):
    side = SCANNERS[scanner].side
    cells = [render_cell(code, scanner, seed) for seed in range(4)]
    assert all(cell.shape == (side, side, 3) and cell.dtype == np.uint8 for cell in cells)
    assert len({digest(cell) for cell in cells}) == 4
    assert digest(render_cell(code, scanner, 3)) == digest(cells[3])
    assert all(nucleus_of(middle_of(cell)).sum() > 200 for cell in cells)


def test_another_process_renders_the_same_bytes():
    program = (
        "import hashlib; from workers.ml.rendering import demo_cells\n"
        "print([(name, code, hashlib.sha256(data).hexdigest()) for name, code, data in demo_cells(6, 'B', 5)])"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    here = [(name, code, hashlib.sha256(data).hexdigest()) for name, code, data in demo_cells(6, "B", 5)]
    assert there.strip() == str(here)
    assert len({data for *_, data in here}) == 6


def test_scanners_differ_as_their_profiles_say():
    cells = {name: [middle_of(render_cell("LYT", name, seed)) for seed in range(25)] for name in SCANNERS}
    width = {name: np.mean([nucleus_of(cell).sum() ** 0.5 for cell in cells[name]]) for name in SCANNERS}
    scale = SCANNERS["B"].px_per_um / SCANNERS["A"].px_per_um
    assert width["B"] / width["A"] == pytest.approx(scale, rel=0.1)
    density = {}
    for name, device in SCANNERS.items():
        light = np.mean([np.percentile(cell, 90, axis=(0, 1)) for cell in cells[name]], axis=0)
        assert light == pytest.approx(np.array(device.background), abs=6)
        nuclei = np.mean([cell[nucleus_of(cell)].mean(axis=0) for cell in cells[name]], axis=0)
        density[name] = np.log(np.array(device.background) / nuclei)
    # Scanner B's azure takes less of every colour than A's, and far less of blue.
    assert (density["B"] < density["A"]).all()
    assert density["B"][2] / density["A"][2] < density["B"][1] / density["A"][1]


def test_simple_features_tell_classes_apart_but_not_perfectly():
    train, test = ([(c, s) for c in CLASSES for s in seeds] for seeds in (range(20), range(100, 110)))
    X = {
        name: [features_of(middle_of(render_cell(c, "B", s))) for c, s in part]
        for name, part in (("a", train), ("b", test))
    }
    head = LinearDiscriminantAnalysis().fit(X["a"], [c for c, _ in train])
    accuracy = head.score(X["b"], [c for c, _ in test])
    assert 0.4 < accuracy < 0.95


def test_demo_follows_the_weights_and_refuses_impossible_ones():
    only_blasts = list(demo_cells(3, "A", 1, {"BLA": 2.0}))
    assert [code for _, code, _ in only_blasts] == ["BLA"] * 3
    assert all("generated" in name for name, *_ in only_blasts)
    usual = [code for _, code, _ in demo_cells(40, "B", 1)]
    assert usual.count("NGS") > usual.count("BAS")
    for weights, message in [({"XYZ": 1}, "Unknown class 'XYZ'"), ({"NGS": -1}, "0 or more"), ({}, "more than 0")]:
        with pytest.raises(ValueError, match=message):
            next(demo_cells(1, "A", 1, weights))
    with pytest.raises(ValueError, match="Unknown scanner 'D': choose one of A, B, C"):
        render_cell("NGS", "D", 0)
    with pytest.raises(ValueError, match="seed must be 0 or more"):
        render_cell("NGS", "A", -1)


def test_cheap_cells_are_small_and_all_distinct():
    cells = list(cheap_cells(2000, "B", 2, side=96, pool=8))
    assert len({data for *_, data in cells}) == len({name for name, *_ in cells}) == 2000
    assert {code for _, code, _ in cells} == set(CLASSES)
    assert Image.open(io.BytesIO(cells[-1][2])).size == (96, 96)
    assert cells[:5] == list(cheap_cells(5, "B", 2, side=96, pool=8))
    with pytest.raises(ValueError, match="need a larger pool"):
        next(cheap_cells(10_000_000, "B", 2, pool=8))


def test_command_writes_images_and_labels(tmp_path):
    app = Typer()
    app.command()(main)
    arguments = ["--out", str(tmp_path / "cells"), "--per-class", "2", "--scanner", "B", "--seed", "4"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    assert "none of them real" in done.output
    with (tmp_path / "cells" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == list(CLASSES) * 2
    for row in rows:
        with Image.open(tmp_path / "cells" / row["path"]) as image:
            assert image.format == "JPEG"
            assert image.size == (300, 300)
    refused = CliRunner().invoke(app, [*arguments, "--scanner", "Z"])
    assert refused.exit_code == 2
    assert "choose one of A, B" in refused.output
