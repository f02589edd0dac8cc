"""`fiftycells cut`: smear fields and slides to images of their cells."""

import csv
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from workers.ml.field_files import open_field
from workers.ml.fields import cells_of, diameter_of
from workers.ml.images import BadImage
from workers.ml.regions import RED_CELL_UM

HEADER = ("file", "field", "left", "top", "right", "bottom")


def main(
    inputs: Annotated[list[Path], typer.Argument(help="Fields (JPEG, PNG, TIFF, …) and slides (SVS, NDPI, MRXS, …).")],
    out: Annotated[Path, typer.Option(help="Folder to make, for one image a cell and boxes.csv.")],
    um_per_px: Annotated[
        float | None, typer.Option(help="µm per pixel, where the files do not say it.", min=0.01, max=10)
    ] = None,
) -> None:
    """Cut the nucleated cells out of fields; cells that the edge of a field cuts are left out.

    Without µm per pixel the scale is told by the red cells. Fields that cannot be read are listed, and the exit code is
    then 1.
    """
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    if out.exists() and any(out.iterdir()):
        raise typer.BadParameter(f"{out} is not empty", param_hint="--out")
    if missing := [path for path in inputs if not path.is_file()]:
        raise typer.BadParameter(f"there is no file {missing[0]}")
    out.mkdir(parents=True, exist_ok=True)
    refused, cells = {}, 0
    with Progress(console=console) as progress, (out / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for path in progress.track(inputs, description="fields"):
            try:
                for row in _cut(path, out, cells, um_per_px):
                    writer.writerow(row)
                    cells += 1
            except BadImage as error:
                refused[path.name] = error.reason
    console.print(f"{cells} cells of {len(inputs) - len(refused)} fields are in {out}")
    for name, reason in refused.items():
        console.print(f"{name}: {reason}")
    if refused:
        raise typer.Exit(1)


def _cut(path: Path, out: Path, first: int, um_per_px: float | None) -> list[tuple[object, ...]]:
    """Write the cells of one field, numbered from `first`; returns a row each."""
    field = open_field(path)
    diameter = RED_CELL_UM / um_per_px if um_per_px else diameter_of(field)
    rows: list[tuple[object, ...]] = []
    for box, pixels in cells_of(field, diameter):
        name = f"{path.stem}-{first + len(rows) + 1:06}.png"
        Image.fromarray(pixels).save(out / name)
        rows.append((name, path.name, *box.corners))
    return rows
