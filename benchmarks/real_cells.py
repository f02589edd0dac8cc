"""The labelled real cells under FIFTYCELLS_DATA as embeddings, and how they are split."""

import argparse
import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workers.ml.bundle import BCISC_GROUPS, in_training_part
from workers.ml.embedding_cache import EmbeddingCache, cache_folder
from workers.ml.encoders import bundled_encoder_path, load_encoder
from workers.ml.sources import Source

CODES = {"basophil": "BAS", "eosinophil": "EOS", "lymphocyte": "LYT", "monocyte": "MON", "neutrophil": "NGS"}


@dataclass(frozen=True)
class RealCells:
    """Embeddings `X` (n, d) float64, labels `y` and `part` (n,).

    Acevedo: part "train" is what any training may see (70 % by the hash of the file's name), "test" the rest.
    BCISC: part is the group; the encoder saw those of BCISC_GROUPS without labels.
    """

    X: npt.NDArray[np.float64]
    y: npt.NDArray[np.str_]
    part: npt.NDArray[np.str_]

    def __getitem__(self, chosen: npt.NDArray[np.bool_]) -> "RealCells":
        return RealCells(self.X[chosen], self.y[chosen], self.part[chosen])


def argument_parser(description: str | None, draws: int) -> argparse.ArgumentParser:
    """Return a parser with --encoder and --draws."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--encoder", type=Path, default=bundled_encoder_path())
    parser.add_argument("--draws", type=int, default=draws)
    return parser


def acevedo(encoder: Path) -> tuple[RealCells, RealCells]:
    """Training and test part of the Acevedo cells."""
    rows = _rows("acevedo/labels.csv")
    names = [row["path"] for row in rows]
    part = ["train" if in_training_part(Path(name).name) else "test" for name in names]
    cells = _embedded(encoder, "acevedo/images", names, [row["label"] for row in rows], part)
    return cells[cells.part == "train"], cells[cells.part == "test"]


def bcisc_files() -> dict[str, tuple[bytes, str]]:
    """Return the files of the BCISC cells by name, with their classes."""
    folder = _data() / "bcisc" / "cells"
    return {row["path"]: ((folder / row["path"]).read_bytes(), CODES[row["label"]]) for row in _rows("bcisc/cells.csv")}


def bcisc(encoder: Path) -> RealCells:
    """Cells of BCISC."""
    rows = _rows("bcisc/cells.csv")
    labels = [CODES[row["label"]] for row in rows]
    return _embedded(encoder, "bcisc/cells", [row["path"] for row in rows], labels, [row["group"] for row in rows])


def unseen(cells: RealCells) -> RealCells:
    """Groups of BCISC that the encoder has not seen, not even without labels."""
    return cells[~np.isin(cells.part, BCISC_GROUPS)]


def draw(y: npt.NDArray[np.str_], per_class: int, seed: int) -> npt.NDArray[np.intp]:
    """Indices of at most `per_class` random labels a class."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:per_class] for c in np.unique(y)])


def _data() -> Path:
    if "FIFTYCELLS_DATA" not in os.environ:
        raise SystemExit("set FIFTYCELLS_DATA to the folder with the real cells")
    return Path(os.environ["FIFTYCELLS_DATA"])


def _rows(table: str) -> list[dict[str, str]]:
    with (_data() / table).open(newline="") as file:
        return list(csv.DictReader(file))


def _embedded(encoder: Path, folder: str, names: list[str], labels: list[str], part: list[str]) -> RealCells:
    sources = [Source(name, _data() / folder / name) for name in names]
    embedded, _ = EmbeddingCache(cache_folder(), load_encoder(encoder)).embed(sources)
    return RealCells(embedded.vectors.astype(np.float64), np.array(labels), np.array(part))
