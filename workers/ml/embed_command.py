"""`fiftycells embed`: image files to a file of vectors."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from workers.ml.embedding import embed
from workers.ml.encoders import EncoderFileError, bundled_encoder_path, load_encoder
from workers.ml.sources import Contents, find_images


def main(
    inputs: Annotated[list[Path], typer.Argument(help="Folders, ZIPs or files of cell images.")],
    out: Annotated[Path, typer.Option(help="File to write (.npz): names, vectors, encoder_sha256.")],
    encoder: Annotated[str, typer.Option(help="Encoder file, or: bundled.")] = "bundled",
) -> None:
    """Embed images as the worker does. Files that cannot be read are listed at the end, and the exit code is then 1."""
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    if out.suffix != ".npz":
        raise typer.BadParameter(f"{out} does not end in .npz", param_hint="--out")
    try:
        sources = find_images(inputs)
        network = load_encoder(bundled_encoder_path() if encoder == "bundled" else Path(encoder))
    except (EncoderFileError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    with Progress(console=console) as progress:
        task = progress.add_task("images", total=len(sources))
        embedded = embed(network, Contents(sources), progress=lambda done: progress.update(task, completed=done))
    good = [i for i in range(len(sources)) if i not in embedded.errors]
    partial = out.with_suffix(".part.npz")
    names = np.array([sources[i].name for i in good], str)
    np.savez(partial, names=names, vectors=embedded.vectors[good], encoder_sha256=network.sha256)
    partial.replace(out)
    console.print(f"{len(good)} of {len(sources)} images, {network.dim} numbers each, are in {out}")
    for i, reason in sorted(embedded.errors.items()):
        console.print(f"{sources[i].name}: {reason}")
    if embedded.errors:
        raise typer.Exit(1)
