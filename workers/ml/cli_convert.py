"""`fiftycells convert-encoder`: weights of other projects as an encoder file."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from workers.ml.encoders import EncoderFileError, load_encoder
from workers.ml.foreign import PRESETS, PROJECTION_IMAGES, Preset, convert, resized, timm_spec
from workers.ml.sources import Contents, Source, find_images
from workers.ml.spec import EncoderSpec


def main(  # noqa: PLR0913 - the options of a command
    weights: Annotated[Path, typer.Argument(help="Safetensors file with weights.")],
    out: Annotated[Path, typer.Option(help="Encoder file to write (.safetensors).")],
    preset: Annotated[str, typer.Option(help=f"{', '.join(PRESETS)}, or timm with --architecture.")] = "timm",
    architecture: Annotated[str | None, typer.Option(help="Name in timm, e.g. resnet50.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the images as they enter the network.")] = None,
    crop: Annotated[float, typer.Option(help="Centre square, as a fraction of the shorter side.")] = 1.0,
    mean: Annotated[str | None, typer.Option(help="Of the channels, on a scale of 0 to 1: 0.5,0.5,0.5.")] = None,
    std: Annotated[str | None, typer.Option(help="The same for the deviation.")] = None,
    views: Annotated[str, typer.Option(help="Symmetries to average, of r0 r90 r180 r270 r0f ...")] = "r0",
    precision: Annotated[str, typer.Option(help="float16 or float32.")] = "float16",
    name: Annotated[str | None, typer.Option(help="Name for people.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, for the card.")] = None,
    data: Annotated[str | None, typer.Option(help="Images the weights were trained on, for the card.")] = None,
    project_on: Annotated[
        list[Path] | None, typer.Option(help="Folder or ZIP of unlabelled cells: project onto their principal axes.")
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Length of projected vectors.", min=1, max=384)] = None,
) -> None:
    """Turn DinoBloom's, the paper's or any timm weights into an encoder file. Nothing is downloaded."""
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    try:
        if out.suffix != ".safetensors":
            raise ValueError(f"{out} does not end in .safetensors")
        chosen = _preset(preset, architecture)
        spec = replace(chosen.spec, name=name or chosen.spec.name, crop=crop, precision=precision)
        spec = replace(spec, views=tuple(views.split(",")))
        spec = _normalised(spec if size is None else resized(spec, size), mean, std)
        stated = {"licence": licence, "data": data}
        card = {**chosen.card, **{key: value for key, value in stated.items() if value}}
        images = _some(find_images(project_on)) if project_on else []
        with Progress(console=console) as progress:
            task = progress.add_task("images", total=len(images), visible=bool(images))
            convert(
                weights, Preset(spec, card), out, Contents(images), dim, lambda n: progress.update(task, completed=n)
            )
        encoder = load_encoder(out, "cpu")
    except (EncoderFileError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    console.print(f"{out}: {encoder.name}, {encoder.dim} dimensions, sha256 {encoder.sha256}")
    console.print(f"Use it with: fiftycells add-encoder {out}")


def _preset(name: str, architecture: str | None) -> Preset:
    if name == "timm":
        if architecture is None:
            raise ValueError("give --architecture, or a preset other than timm")
        spec = timm_spec(architecture)
        return Preset(
            resized(spec, spec.size), {"licence": "not stated", "data": "not stated", "summary": architecture}
        )
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; known: {', '.join(PRESETS)}, timm")
    if architecture is not None:
        raise ValueError(f"the preset {name} has its own architecture; leave out --architecture")
    return PRESETS[name]


def _normalised(spec: EncoderSpec, mean: str | None, std: str | None) -> EncoderSpec:
    """The same with mean and deviation if they are given."""
    given = {"mean": mean, "std": std}
    try:
        values = {key: tuple(float(part) for part in text.split(",")) for key, text in given.items() if text}
    except ValueError as error:
        raise ValueError(f"mean and std are three numbers each such as 0.5,0.5,0.5: {error}") from error
    return replace(spec, **values)  # type: ignore[arg-type]


def _some(sources: list[Source]) -> list[Source]:
    """At most PROJECTION_IMAGES of them, evenly spread."""
    few = np.linspace(0, len(sources), min(len(sources), PROJECTION_IMAGES), endpoint=False).astype(int)
    return [sources[i] for i in few]
