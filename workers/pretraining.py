"""`fiftycells pretrain`: an encoder trained without labels on folders, ZIPs or a project's cells."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from sqlalchemy import select
from torch import distributed

from app.config import get_settings
from app.db import connect, reading
from app.models import Cell, Project
from app.models import Image as StoredImage
from app.storage import get_storage
from workers.ml.bundle import git_revision
from workers.ml.dino import PRESETS, Recipe
from workers.ml.encoders import EncoderFileError
from workers.ml.frames import Image
from workers.ml.pretrain import PretrainError, Progress, Run
from workers.ml.sources import find_images
from workers.ml.starts import starting_network

SETTABLE = {
    field.name: field.type
    for owner in (Recipe, type(PRESETS["cpu"].spec))
    for field in fields(owner)
    if field.type in (int, float, str, tuple[str, ...])
}


@dataclass(frozen=True)
class ProjectImage:
    """An image of a project, in the installation's storage."""

    key: str

    @property
    def name(self) -> str:
        """Its place in the storage."""
        return self.key

    def read(self) -> bytes:
        """Return the file's bytes."""
        return get_storage().read(self.key)


def main(  # noqa: PLR0913 - the options of a command
    out: Annotated[Path, typer.Option(help="Folder of the run. The same command with the same folder goes on.")],
    inputs: Annotated[list[Path] | None, typer.Argument(help="Folders, ZIPs or files of cell images.")] = None,
    project: Annotated[int | None, typer.Option(help="Number of a project whose cells are used.")] = None,
    preset: Annotated[str, typer.Option(help="cpu (an hour on 2 cores) or paper (XCiT-S12/8, for GPUs).")] = "cpu",
    weights: Annotated[
        str, typer.Option(help="Where to begin: imagenet, random, or a safetensors file with weights.")
    ] = "imagenet",
    settings: Annotated[list[str] | None, typer.Option("--set", help="name=value, e.g. epochs=50 or seed=1.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the result, for its card.")] = "not stated",
    data: Annotated[str | None, typer.Option(help="What the images are, for the card.")] = None,
    keep_every: Annotated[int, typer.Option(help="Also keep an encoder file every so many epochs.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: all cores.", min=0)] = 0,
) -> None:
    """Train an encoder on unlabelled cells by DINO; start again with the same folder to go on.

    On several GPUs: torchrun --standalone --nproc-per-node 4 -m workers.pretraining --out DIR --preset paper ...
    """
    say = Console().print
    torch.set_num_threads(threads or os.cpu_count() or 1)
    device = _join_other_processes()
    try:
        recipe = _recipe(preset, settings or [])
        images = _images(inputs or [], project)
        card = {
            "summary": f"Pretrained by DINO on unlabelled cells, preset {preset}, starting from {weights}",
            "licence": licence,
            "data": data or _named(inputs or [], project),
            "weights": weights,
            "git_revision": git_revision(),
        }
        run = Run(
            out, recipe, images, lambda spec: starting_network(spec, weights), card, device, keep_every=keep_every
        )
        path = run.train(lambda progress: _tell(say, run, progress), lambda done, total: _preparing(say, done, total))
    except (PretrainError, EncoderFileError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    say(f"The encoder is {path}. Use it with: fiftycells add-encoder {path}")


def _join_other_processes() -> torch.device:
    """Device of this process; under torchrun, one GPU each."""
    cuda = torch.cuda.is_available()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("nccl" if cuda else "gloo")
        if cuda:
            return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return torch.device("cuda" if cuda else "cpu")


def _recipe(preset: str, settings: list[str]) -> Recipe:
    """Preset with changes; ValueError names what does not exist."""
    if preset not in PRESETS:
        raise ValueError(f"there is no preset {preset!r}; known: {', '.join(PRESETS)}")
    recipe = PRESETS[preset]
    changes: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in SETTABLE:
            raise ValueError(f"there is no setting {name!r}; known: {', '.join(sorted(SETTABLE))}")
        changes[name] = _value(name, value)
    if "architecture" in changes:  # what fitted the old one means nothing to another
        recipe = replace(recipe, spec=replace(recipe.spec, layers=(), architecture_options={}))
    of_spec = {name: value for name, value in changes.items() if hasattr(recipe.spec, name)}
    of_recipe = {name: value for name, value in changes.items() if name not in of_spec}
    return replace(recipe, spec=replace(recipe.spec, **of_spec), **of_recipe)


def _value(name: str, text: str) -> Any:
    kind = SETTABLE[name]
    if kind == tuple[str, ...]:
        return tuple(part for part in text.split(",") if part)
    try:
        return text if kind is str else kind(text)
    except ValueError as error:
        raise ValueError(f"{name}: {text!r} is not a number of that kind") from error


def _images(inputs: list[Path], project: int | None) -> list[Image]:
    """All images asked for; ValueError if there are none."""
    found: list[Image] = [*find_images(inputs)] if inputs else []
    if project is not None:
        connect(get_settings().resolved_database_url)
        with reading() as session:
            if session.get(Project, project) is None:
                raise ValueError(f"there is no project {project}")
            shown = select(Cell.image_id).where(Cell.project_id == project)
            rows = session.scalars(
                select(StoredImage.sha256).where(StoredImage.id.in_(shown)).order_by(StoredImage.sha256)
            )
            found += [ProjectImage(f"images/{sha256}") for sha256 in rows]
    if not found:
        raise ValueError("give folders, ZIPs or files of images, or --project with a project that has cells")
    return found


def _named(inputs: list[Path], project: int | None) -> str:
    of_project = [] if project is None else [f"cells of project {project}"]
    return ", ".join([*(path.name for path in inputs), *of_project])


def _preparing(say: Any, done: int, total: int) -> None:
    if done == total or done % 4096 == 0:
        say(f"{done} of {total} images read")


def _tell(say: Any, run: Run, progress: Progress) -> None:
    """Print a line an epoch, and one early to show that it works."""
    if progress.probe is None and progress.step != 5:
        return
    left = f"{progress.seconds_left / 60:.0f} min left"
    if progress.probe is None:
        say(f"step {progress.step} of {progress.steps}, loss {progress.loss:.3f}, {left}")
        return
    probe = progress.probe
    say(
        f"epoch {len(run.log)} of {run.recipe.epochs}: loss {run.log[-1]['loss']:.3f}, same cell found "
        f"{probe.same_cell:.1%}, effective rank {probe.rank:.0f}, spread {probe.spread:.2f}, "
        f"views take {progress.augmenting:.0%} of the time, {left}"
    )


if __name__ == "__main__":
    typer.run(main)
