"""Pretraining without labels, in a folder from which a killed run goes on exactly where it was."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import distributed

from workers.ml import frames as images_on_disk
from workers.ml.dino import Dino, Recipe, autocast_forward
from workers.ml.encoders import Encoder, Network, save_encoder
from workers.ml.frames import Frames, Image
from workers.ml.projection import principal_axes
from workers.ml.spec import EncoderSpec

PROBE_IMAGES: Final = 1024
PROJECTION_IMAGES: Final = 20_000
CHECKPOINT_SECONDS: Final = 120.0
# An encoder whose features span fewer directions, or lie closer together, tells no cells apart.
MIN_RANK: Final = 2.0
MIN_SPREAD: Final = 0.01


class PretrainError(RuntimeError):
    """A run that cannot begin or go on; the message says why and what to do."""


class PausedError(Exception):
    """Raised by a callback to stop a run, which saves first where it is."""


@dataclass(frozen=True)
class Probe:
    """How well an encoder tells cells apart, without any label.

    `same_cell` is the share of cells whose nearest neighbour among other views of all of them is a
    view of themselves; `rank` the effective rank of the features (Roy and Vetterli 2007); `spread` the root
    mean square distance of unit-length features from their mean: 1 for random directions, 0 for one.
    """

    same_cell: float
    rank: float
    spread: float

    @property
    def collapsed(self) -> bool:
        """Whether these features are worth nothing."""
        return not (self.rank >= MIN_RANK and self.spread >= MIN_SPREAD)


@dataclass(frozen=True)
class Progress:
    """What a run reports after every step; `augmenting` is the share of time that views took."""

    step: int
    steps: int
    loss: float
    augmenting: float
    seconds_left: float
    probe: Probe | None


@dataclass
class Run:
    """A pretraining run of `recipe` on `images`, starting from what `network` returns.

    In `folder`: `run.json` (what is computed on what), `frames.npy` (decoded images), `frames.json` (the unreadable),
    `checkpoint.safetensors`, `log.jsonl` (an entry an epoch) and at the end `encoder.safetensors`;
    with `keep_every`, also an encoder file every so many epochs. `card` goes into the encoder file.
    Under torchrun all processes call `train`; the first one writes.
    """

    folder: Path
    recipe: Recipe
    images: Sequence[Image]
    network: Callable[[EncoderSpec], Network]
    card: dict[str, Any]
    device: torch.device
    dim: int = 128
    keep_every: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    def train(
        self,
        report: Callable[[Progress], None] = lambda _: None,
        preparing: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> Path:
        """Run from the start or the last checkpoint to the end; returns the encoder file's path.

        Raises PretrainError if the folder holds another run, too few images can be read, or the features collapse.
        A callback may raise to stop; the run then goes on from its last checkpoint, after PausedError from this step.
        """
        frames = self._frames(preparing)
        dino, step = self._begin(len(frames))
        batch = min(self.recipe.batch, len(frames))
        per_epoch = len(frames) // batch
        steps, first, saved = self.recipe.epochs * per_epoch, step, time.monotonic()
        started, augmenting, losses = time.monotonic(), 0.0, _Mean()
        while step < steps:
            began = time.monotonic()
            views = self._views(frames, step, batch)
            augmenting += time.monotonic() - began
            loss = losses.add(dino.step(views, step / per_epoch))
            step += 1
            if not np.isfinite(loss):
                raise PretrainError(f"the loss is not a number at step {step}: try a smaller learning rate")
            probe, ended = None, step % per_epoch == 0
            if ended:
                probe = self._end_epoch(dino, frames, step // per_epoch, losses.reset())
            if ended or time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save(dino, step, len(frames))
                saved = time.monotonic()
            spent = time.monotonic() - started
            left = spent / (step - first) * (steps - step)
            here = Progress(step, steps, loss, augmenting / spent, left, probe)
            _tell(report, here, partial(self._save, dino, step, len(frames)))
        return self._export(dino.network, frames, "encoder")

    @property
    def _leads(self) -> bool:
        return not distributed.is_initialized() or distributed.get_rank() == 0

    def _frames(self, preparing: Callable[[int, int], None]) -> Frames:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._leads:
            self._describe()
            images_on_disk.prepare(self.folder, self.images, self.recipe.store, self.recipe.spec.white, preparing)
        if distributed.is_initialized():
            distributed.barrier()
        frames, _ = images_on_disk.prepare(self.folder, self.images, self.recipe.store, self.recipe.spec.white)
        if len(frames) < 2 * self.dim:
            raise PretrainError(f"{len(frames)} readable images are too few: {2 * self.dim} or more are needed")
        return frames

    def _describe(self) -> None:
        """Write what this run computes, or make sure that it is what the folder's run computes."""
        names = json.dumps([image.name for image in self.images])
        computed = {
            "recipe": asdict(self.recipe),
            "dim": self.dim,
            "images": {"count": len(self.images), "names_sha256": hashlib.sha256(names.encode()).hexdigest()},
            "processes": distributed.get_world_size() if distributed.is_initialized() else 1,
        }
        path = self.folder / "run.json"
        if not path.is_file():
            path.write_text(json.dumps({**computed, "card": self.card}, indent=1, sort_keys=True) + "\n")
        known = json.loads(path.read_text())
        for key, value in json.loads(json.dumps(computed)).items():
            if known[key] != value:
                raise PretrainError(f"{self.folder} holds another run (its {key} differ): choose another folder")

    def _begin(self, images: int) -> tuple[Dino, int]:
        torch.manual_seed(self.recipe.seed)
        path = self.folder / "checkpoint.safetensors"
        dino = Dino(self.recipe, self.network(self.recipe.spec), self.device)
        if not path.is_file():
            return dino, 0
        with safe_open(path, framework="pt") as file:
            notes = json.loads(file.metadata()["run"])
            if notes["frames"] != images:
                raise PretrainError(f"the images have changed since {path} was written: choose another folder")
            dino.restore({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        self.log = notes["log"]
        return dino, notes["step"]

    def _save(self, dino: Dino, step: int, images: int) -> None:
        """Write the checkpoint beside the old one, then put it in its place."""
        if not self._leads:
            return
        path = self.folder / "checkpoint.safetensors"
        fresh = path.with_suffix(".part")
        notes = {"step": step, "frames": images, "log": self.log}
        save_file(dino.state(), fresh, {"run": json.dumps(notes)})
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
        lines = [json.dumps(entry) + "\n" for entry in self.log]
        (self.folder / "log.jsonl").write_text("".join(lines))

    def _views(self, frames: Frames, step: int, batch: int) -> list[torch.Tensor]:
        """Normalised views of a step's images; all randomness follows from seed, step and process."""
        recipe, per_epoch = self.recipe, len(frames) // batch
        rank, processes = 0, 1
        if distributed.is_initialized():
            rank, processes = distributed.get_rank(), distributed.get_world_size()
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(frames))
        chosen = np.sort(order[place * batch : (place + 1) * batch][rank::processes])
        images = torch.from_numpy(frames[chosen]).to(self.device)
        seed = int(np.random.SeedSequence([recipe.seed, step, rank]).generate_state(1)[0])
        torch.manual_seed(seed)  # for what the network itself may draw
        draw = torch.Generator().manual_seed(seed)
        views = [augment(images, recipe.spec.size, draw) for augment in recipe.views]
        views += [recipe.local(images, recipe.local_size, draw) for _ in range(recipe.local_views)]
        return [normalise(view, recipe.spec).contiguous(memory_format=torch.channels_last) for view in views]

    def _end_epoch(self, dino: Dino, frames: Frames, epoch: int, loss: float) -> Probe:
        """Probe, log, keep an encoder file if it is time; raises PretrainError on collapse."""
        found = probe(dino.network, self.recipe, frames, self.device)
        self.log.append({"epoch": epoch, "loss": loss, **asdict(found), "time": time.time()})
        if found.collapsed:
            raise PretrainError(
                f"the features have collapsed after {epoch} epochs (effective rank {found.rank:.1f}, "
                f"spread {found.spread:.3f}): use more images, a smaller learning rate or a slower teacher"
            )
        if self.keep_every and epoch % self.keep_every == 0:
            self._export(dino.network, frames, f"encoder-{epoch:03}")
        return found

    def _export(self, network: Network, frames: Frames, name: str) -> Path:
        """Write an encoder file with a projection fitted on the frames."""
        path, spec = self.folder / f"{name}.safetensors", self.recipe.spec
        if not self._leads:
            return path
        encoder = Encoder(spec, "", 0, {}, self.device, network, None)
        few = np.linspace(0, len(frames), min(len(frames), PROJECTION_IMAGES), endpoint=False).astype(int)
        features = features_of(encoder, frames, few)
        card = {**self.card, "images_seen": len(frames), "epochs": len(self.log), "seed": self.recipe.seed}
        save_encoder(path, spec, network, principal_axes(features, network.widths, self.dim), card)
        return path


def _tell(report: Callable[[Progress], None], here: Progress, save: Callable[[], None]) -> None:
    try:
        report(here)
    except PausedError:
        save()
        raise


class _Mean:
    """The mean of what was added since the last reset."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def add(self, value: float) -> float:
        self.values.append(value)
        return value

    def reset(self) -> float:
        mean, self.values = float(np.mean(self.values)), []
        return mean


def normalise(views: torch.Tensor, spec: EncoderSpec) -> torch.Tensor:
    """Bring views (n, 3, s, s) from 0..1 to the network's mean and deviation."""
    mean, std = (torch.tensor(values, device=views.device)[:, None, None] for values in (spec.mean, spec.std))
    return (views - mean) / std


def features_of(encoder: Encoder, frames: Frames, chosen: np.ndarray) -> np.ndarray:
    """Features before projection of some frames, mean of the views: (n, features) float32."""
    # Frames are white balanced when they are kept; a second time would brighten dark ones, whose gain was limited.
    cutter = replace(encoder, spec=replace(encoder.spec, white=None))
    found = []
    training = encoder.network.training
    encoder.network.eval()
    for start in range(0, len(chosen), 64):
        batch = frames[chosen[start : start + 64]].transpose(0, 2, 3, 1)
        found.append(encoder.encode([cutter.prepare(np.ascontiguousarray(frame)) for frame in batch]))
    encoder.network.train(training)
    return np.concatenate(found)


@torch.no_grad()
def probe(network: Network, recipe: Recipe, frames: Frames, device: torch.device) -> Probe:
    """Probe a network on up to PROBE_IMAGES frames; the same ones and the same views at every call."""
    training = network.training
    network.eval()
    chosen = np.linspace(0, len(frames), min(len(frames), PROBE_IMAGES), endpoint=False).astype(int)
    draw = torch.Generator().manual_seed(recipe.seed)
    sides: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for start in range(0, len(chosen), 64):
        images = torch.from_numpy(frames[chosen[start : start + 64]]).to(device)
        for side in sides:
            view = recipe.views[0](images, recipe.spec.size, draw)
            side.append(autocast_forward(network, normalise(view, recipe.spec)))
    network.train(training)
    first, second = (torch.nn.functional.normalize(torch.cat(side)) for side in sides)
    nearest = (first @ second.T).argmax(1)
    centered = first - first.mean(0)
    weights = torch.linalg.svdvals(centered)
    weights = weights / weights.sum().clamp_min(1e-12)
    return Probe(
        same_cell=float((nearest == torch.arange(len(first), device=nearest.device)).float().mean()),
        rank=float(torch.exp(-(weights * weights.clamp_min(1e-12).log()).sum())),
        spread=float(first.std(0).square().sum().sqrt()),
    )
