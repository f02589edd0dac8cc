"""Study and embed: what the commands write, what they refuse, and how labelled sets are read."""

import csv
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from app.cli import main
from workers.ml import sources, study
from workers.ml.encoders import bundled_encoder_path, load_encoder
from workers.ml.images import BadImage
from workers.ml.layouts import class_of, read_labelled, transfer_mapping
from workers.ml.rendering import demo_cells

CLASSES = ("EBO", "EOS", "LYT", "NGS")
HEADS = ("ours", "paper-lr")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Result]]:
    """The command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("COLUMNS", "400")
        yield lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of generated cells with train.csv and test.csv; one test image is broken, EBO only in the test set.

    So few of them are scored that the map is a PCA: UMAP has its own test.
    """
    root = tmp_path_factory.mktemp("cells")
    rows = []
    for i, (name, code, data) in enumerate(demo_cells(44, "A", 3, dict.fromkeys(CLASSES, 1))):
        (root / name).write_bytes(data if i != 43 else data[:200])
        rows.append((name, code, "test" if code == "EBO" or i >= 26 else "train"))
    for part in ("train", "test"):
        # As spreadsheets write it: byte order mark, semicolons, columns in capitals and some more of them.
        lines = ["Slide;LABEL;Path", *(f"1;{code};{name}" for name, code, wanted in rows if wanted == part)]
        (root / f"{part}.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    return root


def arguments(cells: Path, out: Path) -> list[str | Path]:
    sets = [
        value
        for part in ("train", "test")
        for value in (f"--{part}-root", cells, f"--{part}-csv", cells / f"{part}.csv")
    ]
    return [
        "study",
        *sets,
        "--out",
        out,
        "--per-class",
        "2,4",
        "--draws",
        "2",
        "--heads",
        ",".join(HEADS),
        "--processes",
        "1",
    ]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def figures_are_drawn(tmp_path: Path) -> None:
    for name in ("curve", "umap", "confusion-ours", "confusion-paper-lr"):
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()
        with Image.open(tmp_path / f"{name}.png") as image:
            assert min(image.size) > 300


def test_a_study_writes_tables_figures_and_what_was_left_out(run, cells, tmp_path):
    done = run(*arguments(cells, tmp_path))
    assert done.exit_code == 0, done.output
    results = table(tmp_path / "results.csv")
    assert list(results[0]) == ["head", "per_class", "draw", "balanced_accuracy", "macro_f1"]
    assert [(r["head"], r["per_class"], r["draw"]) for r in results] == [
        (head, k, draw) for head in HEADS for k in ("2", "4") for draw in ("0", "1")
    ]
    summary = json.loads((tmp_path / "summary.json").read_text())
    for head in HEADS:
        accuracies = [float(r["balanced_accuracy"]) for r in results if r["head"] == head and r["per_class"] == "4"]
        expected = {"mean": np.mean(accuracies), "std": np.std(accuracies), "n": 2}
        assert summary[head]["4"] == pytest.approx(expected)
        assert summary[head]["4"]["mean"] > 0.7  # by chance a third
    tested = read_labelled(cells, cells / "test.csv").counts
    recall = table(tmp_path / "per_class_recall.csv")
    assert {r["class"] for r in recall} == {"EOS", "LYT", "NGS"}
    assert all(float(r["low"]) <= float(r["recall"]) <= float(r["high"]) for r in recall)
    for row in table(tmp_path / "confusion-ours.csv"):
        label, counts = row.pop("label"), [int(count) for count in row.values()]
        assert sum(counts) in (2 * tested[label], 2 * tested[label] - 2)  # two draws; one image is broken
    figures_are_drawn(tmp_path)
    description = json.loads((tmp_path / "study.json").read_text())
    encoder = load_encoder(bundled_encoder_path())
    assert (description["encoder"]["sha256"], description["encoder"]["card"]) == (encoder.sha256, encoder.card)
    (refused,) = description["refused"]["test"]
    assert refused in done.output
    assert refused.endswith("00043.jpg")
    assert any(note.startswith("EBO: ") and "no labels" in note for note in description["notes"])


def test_the_same_study_gives_the_same_figures_and_embeds_nothing_again(run, cells, tmp_path):
    folders = tmp_path / "one", tmp_path / "two"
    cache = "--cache", tmp_path / "cache"
    assert run(*arguments(cells, folders[0]), *cache).exit_code == 0
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.npz")}
    assert kept
    assert run(*arguments(cells, folders[1]), *cache, "--processes", "2").exit_code == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.npz")} == kept
    for name in ("results.csv", "per_class_recall.csv", "umap.svg"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--heads", "ours,nonsense"], "no head nonsense"),
        (["--per-class", "5,many"], "not '5,many'"),
        (["--encoder", "nowhere.safetensors"], "no such file"),
        (["--test-root", "nowhere"], "there is no nowhere"),
        (["--test-csv", "nowhere.csv"], "there is no nowhere.csv"),
        (["--draws", "0"], "--draws"),
    ],
)
def test_what_does_not_exist_is_named(run, cells, tmp_path, change, reason):
    refused = run(*arguments(cells, tmp_path), *change)
    assert refused.exit_code == 2
    assert reason in refused.output
    assert not list(tmp_path.iterdir())


def test_direct_transfer_maps_names_and_leaves_out_what_is_not_shared(run, cells, tmp_path):
    names = {"EOS": "eosinophil", "LYT": "Lymphocytes", "NGS": "neutrophil", "EBO": "artefact"}
    rows = [f"{row.split(';')[2]},{names[row.split(';')[1]]}" for row in (cells / "test.csv").read_text().split()[1:]]
    (tmp_path / "named.csv").write_text("\n".join(["path,label", *rows]))
    fit = ["--fit-root", cells, "--fit-csv", cells / "train.csv"]
    done = run(*arguments(cells, tmp_path / "out"), *fit, "--test-csv", tmp_path / "named.csv")
    assert done.exit_code == 0, done.output
    for line in ("tested Lymphocytes -> LYT", "tested artefact -> left out", "artefact: "):
        assert line in done.output
    assert {r["class"] for r in table(tmp_path / "out" / "per_class_recall.csv")} == {"EOS", "LYT", "NGS"}
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["ours"]["4"]["mean"] > 0.7


def test_classes_are_mapped_as_in_the_paper():
    marrow = ["BAS", "EBO", "EOS", "LYT", "MON", "NGS", "NGB", "MMZ", "PMO", "MYB", "BLA", "KSC"]
    acevedo = transfer_mapping(marrow, ["BAS", "EBO", "EOS", "LYT", "MON", "MYC", "NGS", "PLA"])
    assert {k: v for k, v in acevedo.fitted.items() if k != v} == {
        "MMZ": "MYC",
        "PMO": "MYC",
        "MYB": "MYC",
        "NGB": "NGS",
    }
    assert "BLA" not in acevedo.fitted
    assert "PLA" not in acevedo.tested
    blood = ["BAS", "EBO", "EOS", "KSC", "LYA", "LYT", "MMZ", "MOB", "MON", "MYB", "MYO", "NGB", "NGS", "PMB", "PMO"]
    assert sorted(transfer_mapping(marrow, blood).tested) == sorted({*blood} - {"LYA", "MOB", "MYO", "PMB"})
    with pytest.raises(ValueError, match="shared are: LYT"):
        transfer_mapping(["LYT", "MON"], ["lymphocyte", "basophil"])


def test_predictions_of_mapped_classes_count_as_the_class_they_mean():
    rng = np.random.default_rng(0)
    centers = {"MMZ": (0, 9), "PMO": (9, 0), "LYT": (0, 0), "BLA": (9, 9)}
    y = [label for label in centers for _ in range(12)]
    X = np.array([centers[label] for label in y]) + rng.normal(size=(48, 2))
    y_test = ["MYC" if label in {"MMZ", "PMO"} else label for label in y]
    mapping = transfer_mapping(y, ["MYC", "LYT"])
    experiment, notes = study.transfer(X, y, X, y_test, mapping.fitted, mapping.tested)
    (trial,) = study.run(experiment, ["paper-knn"], [5], 1)
    assert notes == ["BLA: 12 test cells left out, no labels to fit on"]
    assert trial.balanced_accuracy == trial.macro_f1 == 1
    assert trial.confusion.sum() == 36


def test_draws_are_stratified_nested_and_differ_by_seed():
    y = np.repeat([0, 1, 2], [30, 20, 3])
    few, many = study.draw(y, 5, 7), study.draw(y, 10, 7)
    assert np.bincount(y[few]).tolist() == [5, 5, 3]
    assert np.bincount(y[many]).tolist() == [10, 10, 3]
    assert {*few} < {*many}
    assert {*study.draw(y, 5, 8)} != {*few}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("BM_cytomorphology_data/BLA/0001-1000/BLA_00001.jpg", "BLA"),
        ("AML-Cytomorphology_LMU/NGS/NGS_0001.tiff", "NGS"),
        ("PBC_dataset_normal_DIB/neutrophil/BNE_495078.jpg", "NGS"),
        ("PBC_dataset_normal_DIB/platelet/PLATELET_12.jpg", "PLA"),
        ("PBC_dataset_normal_DIB/ig/PMY_12.jpg", "MYC"),
        ("PBC_dataset_normal_DIB/ig/IG_12.jpg", ""),
        ("Train/Neutrophil/20190526_162812_0.jpg", "NGS"),
        ("holiday/BLA_00001.jpg", None),
    ],
)
def test_the_public_layouts(path, code):
    assert class_of(path) == code


def make_files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_a_folder_is_read_by_its_layout_or_refused(tmp_path):
    root = make_files(tmp_path, "Train/Neutrophil/1.jpg", "TestA/Basophil/2.jpg")
    with pytest.raises(ValueError, match="TestA, Train: give one"):
        read_labelled(root)
    assert read_labelled(root / "TestA").counts == {"BAS": 1}
    acevedo = read_labelled(make_files(tmp_path / "acevedo", "ig/MY_1.jpg", "ig/IG_1.jpg", "monocyte/MO_1.jpg"))
    assert acevedo.counts == {"MON": 1, "MYC": 1}
    assert "1 immature" in acevedo.notes[0]
    with pytest.raises(ValueError, match=r"CSV.* is needed; 1: holiday/1.jpg"):
        read_labelled(make_files(tmp_path / "other", "holiday/1.jpg", "monocyte/MO_1.jpg"))


def test_paths_of_a_csv_are_found_by_their_end_and_never_guessed(tmp_path):
    root = make_files(tmp_path / "cells", "a/BAS/1.jpg", "a/EOS/1.jpg", "b/2.jpg", "c/2.jpg", "c/3.jpg")
    cells = tmp_path / "cells.csv"
    cells.write_text("path,label\n/home/me/BAS/1.jpg,x\nD:\\data\\EOS\\1.jpg,y\nb/2.jpg,x\nb/2.jpg,x\n")
    found = read_labelled(root, cells)
    assert [source.name for source in found.sources] == ["a/BAS/1.jpg", "a/EOS/1.jpg", "b/2.jpg"]
    assert found.labels == ["x", "y", "x"]
    assert "1 rows are repeated" in found.notes[0]
    assert found.notes[1] == "cells.csv: 2 paths are found by their end, so /home/me/BAS/1.jpg is a/BAS/1.jpg"
    for text, reason in [
        ("path,label\nz/2.jpg,x\nc/3.jpg,x\n", r"for 1 of 2 rows; 1: z/2.jpg"),
        ("path,label\nnone.jpg,x\n", "none.jpg"),
        ("path,label\nc/3.jpg,x\nother/3.jpg,y\n", r"same image; 1: c/3.jpg"),
        ("file,class\nc/3.jpg,x\n", "columns are file, class"),
        ("path,label\nc/3.jpg,\n", "empty in line 2"),
        ("path,label\n", "no rows"),
    ]:
        cells.write_text(text)
        with pytest.raises(ValueError, match=reason):
            read_labelled(root, cells)


def test_embed_writes_what_it_can_and_lists_the_rest(run, cells, tmp_path):
    out = tmp_path / "vectors.npz"
    names = sorted(file.name for file in cells.glob("*.jpg"))
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        archive.write(cells / names[0], "slide/first.jpg")
        archive.writestr("notes.txt", "no image")
        archive.writestr("nested.zip", b"")
    assert run("embed", tmp_path / "cells.zip", cells / names[1], "--out", out).exit_code == 0
    with np.load(out) as file:
        assert file["names"].tolist() == ["slide/first.jpg", names[1]]
        assert file["vectors"].shape == (2, load_encoder(bundled_encoder_path()).dim)
        assert str(file["encoder_sha256"]) == load_encoder(bundled_encoder_path()).sha256
    partly = run("embed", cells, "--out", out)
    assert partly.exit_code == 1
    assert "00043.jpg: " in partly.output
    with np.load(out) as file:
        assert file["names"].tolist() == names[:-1]
        assert np.isfinite(file["vectors"]).all()
    assert run("embed", tmp_path / "nowhere", "--out", out).exit_code == 2
    assert run("embed", cells, "--out", tmp_path / "vectors.csv").exit_code == 2


def test_members_of_a_zip_are_read_up_to_a_limit(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        archive.writestr("small.jpg", b"1234")
        archive.writestr("large.jpg", b"12345")
    monkeypatch.setattr(sources, "MAX_BYTES", 4)
    large, small = sources.find_images([tmp_path / "cells.zip"])
    assert small.read() == b"1234"
    with pytest.raises(BadImage, match="more than"):
        large.read()


def test_cells_alike_lie_together_on_the_umap(run, cells, tmp_path):
    run("study", "--help")  # loads UMAP uncompiled
    from workers.ml.study_figures import flattened  # noqa: PLC0415

    X = np.repeat(np.eye(2, 8) * 9, 10, 0) + np.random.default_rng(0).normal(size=(20, 8))
    flat = flattened(X.astype(np.float32), "UMAP")
    assert flat.shape == (20, 2)
    distance = np.linalg.norm(flat[:, None] - flat, axis=-1) + np.eye(20) * 1e9
    assert ((distance.argmin(1) < 10) == (np.arange(20) < 10)).all()
