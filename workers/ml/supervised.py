"""The supervised baseline: an encoder's network trained end to end on labelled images."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from workers.ml.augment import Augmentation
from workers.ml.dino import autocast, cosine, slow_in_bfloat16_to_float32
from workers.ml.encoders import Encoder, Network
from workers.ml.frames import Frames
from workers.ml.pretrain import features_of, normalise
from workers.ml.spec import EncoderSpec

Codes = npt.NDArray[np.intp]
_EPOCHS: Final = 30
_UPDATES: Final = 300
_PREDICTED: Final = 256


@dataclass(frozen=True)
class SupervisedRecipe:
    """How the network is trained: AdamW and cross-entropy as in Wenderoth et al. 2025, all classes weighing the same.

    Theirs lowers the learning rate when 30 % of the labels, held out, stop improving; few labels spare none, so here
    it falls on half a cosine to zero. `epochs` 0 stands for 30, or more where these would be fewer than 300 updates.
    """

    epochs: int = 0
    learning_rate: float = 1e-3
    batch: int = 32
    weight_decay: float = 0.05

    def epochs_of(self, images: int) -> int:
        """How often so many images are gone through."""
        return self.epochs or max(_EPOCHS, math.ceil(_UPDATES / self.batches_of(images)))

    def batches_of(self, images: int) -> int:
        """Updates in an epoch. None has a batch of one image, which would have no batch statistics."""
        return max(1, images // self.batch)


def frame_side(spec: EncoderSpec) -> int:
    """Side in pixels of frames whose smallest centre crop is as large as the network's input."""
    return round(spec.size / min(spec.crops))


class SupervisedClassifier:
    """The network that `start` makes of `spec`, with a linear layer for `classes` classes, on `device`.

    All chance, of weights, order and views, follows from `seed`.
    """

    def __init__(
        self, spec: EncoderSpec, start: Callable[[EncoderSpec], Network], classes: int, device: torch.device, seed: int
    ) -> None:
        self.spec, self.classes, self.device, self.seed = spec, classes, device, seed
        torch.manual_seed(seed)
        self.network = start(spec).to(memory_format=torch.channels_last).to(device)
        with torch.inference_mode():
            width = self.network.eval()(torch.zeros(1, 3, spec.size, spec.size, device=device)).shape[1]
        slow_in_bfloat16_to_float32(self.network, device)
        self.last = nn.Linear(width, classes).to(device)

    def fit(
        self,
        frames: Frames,
        rows: Codes,
        codes: Codes,
        recipe: SupervisedRecipe,
        progress: Callable[[int], None] = lambda _images: None,
    ) -> "SupervisedClassifier":
        """Train on some `rows` (n,) of frames (m, 3, s, s) uint8, whose classes are `codes` (n,).

        `progress` is told after every update how many images it took. Raises ValueError if the loss is not a number.
        """
        self.network.requires_grad_(requires_grad=True).train()
        parameters = [*self.network.parameters(), *self.last.parameters()]
        optimizer = torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
        epochs, batches = recipe.epochs_of(len(rows)), recipe.batches_of(len(rows))
        weights = self._class_weights(codes)
        draw = torch.Generator().manual_seed(self.seed)
        for epoch in range(epochs):
            order = torch.randperm(len(rows), generator=draw).numpy()
            for number, chosen in enumerate(np.array_split(order, batches)):
                for group in optimizer.param_groups:
                    group["lr"] = cosine((epoch + number / batches) / epochs, recipe.learning_rate, 0)
                truth = torch.from_numpy(codes[chosen]).to(self.device)
                loss = functional.cross_entropy(self._logits(frames[rows[chosen]], draw), truth, weights)
                if not torch.isfinite(loss):
                    raise ValueError("supervised: the loss is not a number; try a smaller learning rate")
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                progress(len(chosen))
        return self

    def predict(
        self, frames: Frames, rows: Codes, allowed: Codes, progress: Callable[[int], None] = lambda _images: None
    ) -> Codes:
        """Classes (n,) of some `rows` (n,) of frames (m, 3, s, s): the likeliest of those `allowed`.

        Logits are means over the encoder's views; those of other classes count as minus infinity.
        """
        network = self.network.requires_grad_(requires_grad=False).eval()
        encoder = Encoder(self.spec, "", 0, {}, self.device, network, None)
        mask = torch.full((self.classes,), -torch.inf, device=self.device)
        mask[torch.from_numpy(allowed).to(self.device)] = 0
        found = []
        for start in range(0, len(rows), _PREDICTED):
            chosen = rows[start : start + _PREDICTED]
            features = torch.from_numpy(features_of(encoder, frames, chosen)).to(self.device)
            with torch.inference_mode():
                found.append((self.last(features) + mask).argmax(1).cpu().numpy())
            progress(len(chosen))
        return np.concatenate(found)

    def save(self, path: Path) -> None:
        """Write the network without its last layer, as weights to begin another training with."""
        save_file({key: value.contiguous() for key, value in self.network.backbone.state_dict().items()}, path)

    def _class_weights(self, codes: Codes) -> torch.Tensor:
        counts = torch.from_numpy(np.bincount(codes, minlength=self.classes)).float()
        return (len(codes) / counts.clamp_min(1)).to(self.device)

    def _logits(self, frames: Frames, draw: torch.Generator) -> torch.Tensor:
        """Logits (n, classes) float32 of random views, cut from around the encoder's own crops."""
        scale = (0.75 * min(self.spec.crops), min(1, 1.33 * max(self.spec.crops)))
        augmentation = Augmentation(scale=scale, stain=0.15, mixing=0.04, light=0.05)
        views = normalise(augmentation(torch.from_numpy(frames).to(self.device), self.spec.size, draw), self.spec)
        with autocast(self.device):
            logits: torch.Tensor = self.last(self.network(views.contiguous(memory_format=torch.channels_last)))
        return logits.float()
