"""Cells are found in generated fields of any scale, each once, and cut out in one frame."""

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from app.cli import main
from benchmarks.fields import TILE, UM_PER_PX, compare, write_slide
from workers.ml import fields
from workers.ml.field_files import open_field
from workers.ml.fields import cells_of, diameter_of
from workers.ml.images import BadImage, Pixels
from workers.ml.regions import FRAME, Box, find_cells, red_cell_diameter
from workers.ml.rendering import render_cell

ACROSS = 4
CODES = ["NGS", "LYT", "MON", "EOS", "BAS", "NGS", "LYT", "MON"]


@pytest.fixture(scope="module")
def field() -> Pixels:
    """Eight white cells amid red cells and platelets, one in the middle of each square of 360 pixels, 9.8 a µm."""
    cells = [render_cell(code, "A", seed) for seed, code in enumerate(CODES)]
    return np.vstack([np.hstack(cells[:ACROSS]), np.hstack(cells[ACROSS:])])


def squares(boxes: list[Box], side: float) -> list[tuple[int, int]]:
    return sorted((int(box.center[1] // side), int(box.center[0] // side)) for box in boxes)


EVERY = [(row, column) for row in range(2) for column in range(ACROSS)]


@pytest.mark.parametrize("scale", [1.0, 0.6, 0.3])
def test_each_white_cell_is_found_once_at_any_scale(field: Pixels, scale: float) -> None:
    size = (round(field.shape[1] * scale), round(field.shape[0] * scale))
    pixels = np.asarray(Image.fromarray(field).resize(size, Image.Resampling.BILINEAR))
    diameter = red_cell_diameter(pixels)
    assert diameter == pytest.approx(7.5 * 9.8 * scale, rel=0.3)
    found = [box for box in find_cells(pixels, diameter) if not box.cut]
    assert squares(found, 360 * scale) == EVERY


def test_light_of_another_colour_and_uneven_changes_nothing(field: Pixels) -> None:
    shade = np.linspace(0.6, 1, field.shape[1])[None, :, None] * np.array([1.0, 0.85, 0.7])
    found = [box for box in find_cells((field * shade).astype(np.uint8), 73.5) if not box.cut]
    assert squares(found, 360) == EVERY


def test_fields_without_white_cells_have_none(field: Pixels) -> None:
    rng = np.random.default_rng(0)
    glass = rng.normal(230, 3, (400, 400, 3)).astype(np.uint8)
    assert find_cells(glass, 73.5) == []
    assert red_cell_diameter(glass) is None
    assert len(find_cells(field, 73.5)) >= len(EVERY)


def test_cells_cut_by_the_edge_say_so(field: Pixels) -> None:
    part = field[:, 180:]  # through the first cell of each row
    assert squares([box for box in find_cells(part, 73.5) if not box.cut], 360) != []
    assert any(box.cut for box in find_cells(part, 73.5))


def test_a_slide_is_searched_in_tiles_and_knows_its_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "slide.tiff"
    drawn = write_slide(path, 4 * TILE)
    slide = open_field(path)
    assert slide.um_per_px == pytest.approx(UM_PER_PX, rel=0.01)
    whole = [box for box, _ in cells_of(slide)]
    monkeypatch.setattr(fields, "TILE", 400)
    steps: list[tuple[int, int]] = []
    parts = list(cells_of(slide, progress=lambda done, of: steps.append((done, of))))
    assert steps[-1] == (9, 9)
    assert len(whole) == pytest.approx(drawn, abs=3)
    assert len(parts) == pytest.approx(len(whole), abs=1)
    assert {pixels.shape for _, pixels in parts} == {(round(FRAME * diameter_of(slide)),) * 2 + (3,)}


def test_pictures_that_are_no_fields_say_why(tmp_path: Path, field: Pixels) -> None:
    broken, blank, good = (tmp_path / name for name in ("a.tiff", "b.png", "c.png"))
    broken.write_bytes(b"II*\x00 and no more")
    Image.new("RGB", (300, 300), "white").save(blank)
    Image.fromarray(field).save(good)
    with pytest.raises(BadImage, match="damaged"):
        open_field(broken)
    with pytest.raises(BadImage, match="no red cells"):
        diameter_of(open_field(blank))
    assert diameter_of(open_field(good)) == pytest.approx(73.5, rel=0.3)


def cut(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["cut", *map(str, arguments)], env={"COLUMNS": "400"})


def test_fields_are_cut_into_images_to_upload(tmp_path: Path, field: Pixels) -> None:
    good, bad, out = tmp_path / "field.png", tmp_path / "bad.png", tmp_path / "cells"
    Image.fromarray(field).save(good)
    bad.write_bytes(b"nothing")
    result = cut(good, bad, "--out", out, "--um-per-px", 1 / 9.8)
    assert result.exit_code == 1
    assert "8 cells of 1 fields" in result.output
    assert "bad.png: not an image" in result.output
    rows = list(csv.DictReader((out / "boxes.csv").read_text().splitlines()))
    assert len(rows) == len(list(out.glob("*.png"))) == len(EVERY)
    with Image.open(out / rows[0]["file"]) as image:
        assert image.size == (276, 276)  # 28 µm
    refused = cut(good, "--out", out)
    assert (refused.exit_code, "not empty" in refused.output) == (2, True)


def test_the_benchmark_counts_as_it_says() -> None:
    true = [Box(10, 10, 50, 50), Box(0, 60, 30, 90), Box(60, 60, 90, 90)]
    found = [Box(12, 10, 52, 50), Box(1, 62, 20, 88), Box(5, 95, 9, 99)]
    assert compare(found, true, 100, 100) == (1, 1, 1)
