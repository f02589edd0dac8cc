"""DINO (Caron et al. 2021): a student learns to tell of any view what its own slow average tells of another."""

import copy
import math
import warnings
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import update_momentum
from timm.utils.agc import adaptive_clip_grad
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from workers.ml.augment import Augmentation
from workers.ml.encoders import Network
from workers.ml.engines import cpu_precision
from workers.ml.spec import EncoderSpec


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a pretraining run; two runs of one recipe on one machine end alike.

    `spec` is the encoder that comes out. Views: two of `spec.size` pixels for teacher and student, cut
    by `views[0]` and `views[1]`, and `local_views` of `local_size` by `local` for the student alone.
    `store` is the side in pixels at which whole frames are kept. `batch` counts images over all
    processes; the learning rate is `learning_rate` x batch / 256, warmed up over `warmup_epochs` and
    then on a cosine to zero, as weight decay and the teacher's momentum are between their two values.
    """

    spec: EncoderSpec
    views: tuple[Augmentation, Augmentation]
    local: Augmentation = field(default_factory=Augmentation)
    local_views: int = 0
    local_size: int = 64
    store: int = 192
    epochs: int = 30
    batch: int = 128
    learning_rate: float = 2e-3
    warmup_epochs: float = 2
    weight_decay: tuple[float, float] = (0.04, 0.4)
    momentum: tuple[float, float] = (0.994, 1.0)
    teacher_temperature: tuple[float, float] = (0.04, 0.04)
    temperature_epochs: float = 0
    student_temperature: float = 0.1
    center_momentum: float = 0.9
    clip: float = 0.32
    frozen_epochs: float = 1
    head_hidden: int = 1024
    head_bottleneck: int = 256
    head_out: int = 4096
    seed: int = 0


_CELL: Final = Augmentation(scale=(0.4, 0.9), exchange=0.5, light=0.15)
_PAPER: Final = Augmentation(
    scale=(0.71, 1.0), perspective=0.3, background=0, jitter=0.8, grey=0.2, blur=1, sigma=(0.1, 5), noise=0
)
PRESETS: Final[dict[str, Recipe]] = {
    "cpu": Recipe(
        spec=EncoderSpec(
            name="lite0-cells",
            architecture="efficientnet_lite0",
            architecture_options={"bn_eps": 1e-3},
            size=112,
            crop=(0.5, 0.7),
            white=90,
            views=("r0", "r0f", "r180", "r180f"),
            layers=("blocks.3", "blocks.4", "blocks.5", "blocks.6"),
        ),
        views=(_CELL, _CELL),
    ),
    # Wenderoth et al. 2025 as their published configuration has it (750 epochs of batch 256).
    "paper": Recipe(
        spec=EncoderSpec(
            name="xcit-small-12-p8-cells",
            architecture="xcit_small_12_p8_224",
            size=224,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            precision="float32",
        ),
        views=(_PAPER, replace(_PAPER, solarize=0.2, blur=0.1)),
        local=replace(_PAPER, scale=(0.32, 0.71), shift=0.3, blur=0.5),
        local_views=5,
        local_size=96,
        store=288,
        epochs=750,
        batch=256,
        learning_rate=5e-4,
        momentum=(0.9995, 1.0),
        teacher_temperature=(0.02, 0.04),
        temperature_epochs=10,
        head_hidden=2048,
        head_out=65536,
    ),
}


class Dino:
    """Student, teacher, loss and optimiser of one process; `step` is one update on one batch."""

    def __init__(self, recipe: Recipe, network: Network, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        network = network.to(memory_format=torch.channels_last).to(device)
        with torch.inference_mode():
            width = network.eval()(torch.zeros(2, 3, recipe.spec.size, recipe.spec.size, device=device)).shape[1]
        slow_in_bfloat16_to_float32(network, device)
        self.student: nn.Module = nn.Sequential(network, _head(width, recipe)).to(device).train()
        self.teacher = nn.Sequential(copy.deepcopy(network), _head(width, recipe)).to(device).train()
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(requires_grad=False)
        if distributed.is_initialized():
            if device.type == "cuda":
                self.student = nn.SyncBatchNorm.convert_sync_batchnorm(self.student)  # type: ignore[no-untyped-call]
                self.teacher = nn.SyncBatchNorm.convert_sync_batchnorm(self.teacher)  # type: ignore[no-untyped-call]
            self.student = DistributedDataParallel(self.student)
        self.loss = DINOLoss(
            recipe.head_out, student_temp=recipe.student_temperature, center_momentum=recipe.center_momentum
        ).to(device)
        trained = [p for p in self.student.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "decays": True},
            {"params": [p for p in trained if p.ndim <= 1], "decays": False, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0)

    @property
    def network(self) -> Network:
        """The teacher without its head: what becomes the encoder."""
        return self.teacher[0]  # type: ignore[return-value]

    def step(self, views: list[torch.Tensor], epoch: float) -> float:
        """Update on views (n, 3, s, s) normalised, the first two being the teacher's; returns the loss.

        `epoch` is a fraction: all schedules follow it.
        """
        recipe = self.recipe
        self._schedule(epoch)
        with autocast(self.device):
            with torch.no_grad():
                told = [self.teacher(view) for view in views[:2]]
            guessed = [self.student(view) for view in views]
        low, high = recipe.teacher_temperature
        warmth = low + (high - low) * min(1.0, epoch / max(recipe.temperature_epochs, 1e-9))
        loss = self.loss([t.float() for t in told], [g.float() for g in guessed], teacher_temp=warmth)
        self.optimizer.zero_grad()
        loss.backward()
        adaptive_clip_grad(self.student.parameters(), recipe.clip)  # type: ignore[no-untyped-call]
        if epoch < recipe.frozen_epochs:
            for parameter in self._plain_student()[1].last_layer.parameters():  # type: ignore[index]
                parameter.grad = None
        self.optimizer.step()
        momentum = cosine(epoch / recipe.epochs, *recipe.momentum)
        update_momentum(self._plain_student(), self.teacher, momentum)
        return float(loss.detach())

    def state(self) -> dict[str, torch.Tensor]:
        """Return all tensors a run goes on from."""
        found = {f"student.{k}": v for k, v in self._plain_student().state_dict().items()}
        found |= {f"teacher.{k}": v for k, v in self.teacher.state_dict().items()}
        found["center"] = self.loss.center
        for index, values in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{index}.{key}": value for key, value in values.items()}
        return {key: value.detach().contiguous().cpu() for key, value in found.items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` returned."""

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

        self._plain_student().load_state_dict(part("student."))
        self.teacher.load_state_dict(part("teacher."))
        self.loss.center.data.copy_(state["center"])
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in part("optimizer.").items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})

    def _plain_student(self) -> nn.Module:
        return self.student.module if isinstance(self.student, DistributedDataParallel) else self.student

    def _schedule(self, epoch: float) -> None:
        recipe = self.recipe
        peak = recipe.learning_rate * recipe.batch / 256
        warming = min(1.0, epoch / max(recipe.warmup_epochs, 1e-9))
        rest = max(0.0, epoch - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1e-9)
        for group in self.optimizer.param_groups:
            group["lr"] = peak * warming if warming < 1 else cosine(rest, peak, 0.0)
            if group["decays"]:
                group["weight_decay"] = cosine(epoch / recipe.epochs, *recipe.weight_decay)


class _Float32Conv(nn.Conv2d):
    """A convolution that leaves autocast alone and computes in the type of its weights."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, enabled=False):
            return super().forward(images.to(self.weight.dtype))


def slow_in_bfloat16_to_float32(network: nn.Module, device: torch.device) -> None:
    """Keep depthwise convolutions of stride 2 or 5 x 5 in float32 on a CPU that trains in bfloat16.

    Their bfloat16 gradients take up to seven times as long on CPUs; a whole step takes twice (docs/pretraining.md).
    """
    if device.type != "cpu" or autocast_dtype(device) is None:
        return
    for module in network.modules():
        depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        if depthwise and (module.stride[0] > 1 or module.kernel_size[0] > 3):  # type: ignore[index]
            module.__class__ = _Float32Conv


def _head(width: int, recipe: Recipe) -> nn.Module:
    with warnings.catch_warnings():
        # The head's weight norm is the one that the method's authors used; torch has a newer one.
        warnings.filterwarnings("ignore", message=".*weight_norm.* is deprecated", category=FutureWarning)
        head: nn.Module = DINOProjectionHead(width, recipe.head_hidden, recipe.head_bottleneck, recipe.head_out)
    return head


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Return bfloat16 where the device computes with it, None for plain float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    dtype = cpu_precision()
    return None if dtype == torch.float32 else dtype


def cosine(share: float, start: float, end: float) -> float:
    """Value between `start` (share 0) and `end` (share 1) on half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def autocast(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 where the device is made for it, else in float32."""
    dtype = autocast_dtype(device)
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def autocast_forward(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Features (n, f) float32 of a normalised batch, computed as in training."""
    with autocast(images.device):
        return network(images.contiguous(memory_format=torch.channels_last)).float()  # type: ignore[no-any-return]
