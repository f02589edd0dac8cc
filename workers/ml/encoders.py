"""Encoder files: one safetensors file that holds everything needed to turn cells into vectors."""

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from workers.ml import engines
from workers.ml.images import Pixels, multiplied, white_gains
from workers.ml.spec import PRECISIONS, EncoderSpec

FORMAT_VERSION: Final = 1
METADATA_KEY: Final = "fiftycells_encoder"
MAX_DIM: Final = 384


class EncoderFileError(ValueError):
    """An encoder file that cannot be used; the message names the file and says why."""


class Network(nn.Module):
    """Backbone -> pooled layers: (n, 3, size, size) normalised -> (n, features) float32.

    `widths` are the numbers of features of each layer, known after a first forward pass.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.backbone = timm.create_model(
            spec.architecture, pretrained=False, num_classes=0, **spec.architecture_options
        )
        # By thread, for batches are computed side by side.
        self._outputs: dict[int, list[torch.Tensor]] = {}
        for name in spec.layers:
            self.backbone.get_submodule(name).register_forward_hook(self._keep)
        self.widths: list[int] = []

    def _keep(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        # Maps are averaged over their area; of token sequences the class token stands for all.
        pooled = output.float().mean((2, 3)) if output.ndim == 4 else output[:, 0].float()
        self._outputs[threading.get_ident()].append(pooled)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the pooled features of a normalised batch."""
        thread = threading.get_ident()
        self._outputs[thread] = []
        last = self.backbone(images)
        kept = self._outputs.pop(thread) or [last.float()]
        if not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            self.widths = [output.shape[1] for output in kept]
        return torch.cat(kept, 1)


@dataclass(frozen=True, eq=False)
class Encoder:
    """A loaded encoder. `sha256` is that of the file, `dim` the length of its vectors.

    `projection` holds mean (features,) and matrix (features, dim), both float32, or None.
    """

    spec: EncoderSpec
    sha256: str
    dim: int
    card: dict[str, Any]
    device: torch.device
    network: Network
    projection: tuple[torch.Tensor, torch.Tensor] | None

    @property
    def name(self) -> str:
        """The name in the encoder's file."""
        return self.spec.name

    @cached_property
    def engine(self) -> engines.Engine:
        """The network made fast for this machine; built at first use (about a second)."""
        return engines.build(self.network, self.spec.size, self.device)

    def prepare(self, pixels: Pixels) -> torch.Tensor:
        """Crop centre squares, resize them, balance white: uint8 (h, w, 3) -> uint8 (crops, 3, size, size)."""
        squares = torch.stack([self._square(pixels, crop) for crop in self.spec.crops])
        if self.spec.white is None:
            return squares
        # By the whole image's background, on the few pixels that are left.
        gains = white_gains(pixels, self.spec.white)[:, None, None]
        return torch.from_numpy(multiplied(squares.numpy(), gains))

    def _square(self, pixels: Pixels, crop: float) -> torch.Tensor:
        height, width = pixels.shape[:2]
        side = max(1, round(crop * min(height, width)))
        top, left = (height - side) // 2, (width - side) // 2
        square = torch.from_numpy(pixels[top : top + side, left : left + side])
        # Channels last is the layout for which torch has a fast integer path.
        size = (self.spec.size, self.spec.size)
        channels_last = square.permute(2, 0, 1)[None]
        resized = nn.functional.interpolate(channels_last, size=size, mode="bilinear", antialias=True)
        return resized[0]

    def encode(self, prepared: Sequence[torch.Tensor]) -> npt.NDArray[np.float32]:
        """Encode images from `prepare`, mean over the views, projected: (n, dim) float32."""
        features = self.features(torch.stack(list(prepared)))
        if self.projection is not None:
            mean, matrix = self.projection
            features = (features - mean) @ matrix
        return features.cpu().numpy()

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Mean of the network's features over the views: uint8 (n, crops, 3, size, size) -> (n, features)."""
        if self.device.type == "cuda":
            images = images.pin_memory().to(self.device, non_blocking=True)
        crops = cycle(images.unbind(1))
        # Turned while they are bytes, a quarter of what is copied then.
        views = torch.cat([view(next(crops), name) for name in self.spec.views])
        return self.engine(self._normalise(views)).reshape(len(self.spec.views), len(images), -1).mean(0)

    def _normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 images into float32 with the network's mean and deviation."""
        scale = 255 * torch.tensor(self.spec.std, device=self.device)[:, None, None]
        shift = 255 * torch.tensor(self.spec.mean, device=self.device)[:, None, None]
        return images.float().sub_(shift).div_(scale)


def view(images: torch.Tensor, name: str) -> torch.Tensor:
    """Turn (and for names ending in "f" mirror) a batch (n, c, s, s); see VIEWS."""
    if name.endswith("f"):
        images = images.flip(3)
    quarter_turns = int(name.strip("rf")) // 90
    return torch.rot90(images, quarter_turns, (2, 3)).contiguous()


def bundled_encoder_path() -> Path:
    """Path of the encoder that comes with Fiftycells."""
    return Path(__file__).parent / "weights" / "bundled.safetensors"


def save_encoder(
    path: Path,
    spec: EncoderSpec,
    network: Network,
    projection: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None,
    card: dict[str, Any],
) -> str:
    """Write an encoder file and return its sha256.

    `projection` is mean (features,) and matrix (features, dim <= 384). `card` is JSON: the training
    provenance (`licence`, `data`, `images_seen`, `git_revision`, `seed`) and what else is known.
    """
    dtype = PRECISIONS[spec.precision]
    tensors = {
        f"network.{key}": value.to(dtype) if value.is_floating_point() else value
        for key, value in network.backbone.state_dict().items()
    }
    if projection is not None:
        if projection[1].shape[1] > MAX_DIM:
            raise ValueError(f"projection to {projection[1].shape[1]} > {MAX_DIM} dimensions")
        for key, array in zip(("mean", "matrix"), projection, strict=True):
            tensors[f"projection.{key}"] = torch.from_numpy(np.ascontiguousarray(array))
    as_tensors = projection and (torch.from_numpy(projection[0]), torch.from_numpy(projection[1]))
    training = network.training
    dim = _dim(spec, network.eval(), as_tensors, next(network.parameters()).device)
    network.train(training)
    description = {"format": FORMAT_VERSION, "spec": asdict(spec), "dim": dim, "card": card}
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    save_file(tensors, path, {METADATA_KEY: json.dumps(description, sort_keys=True)})
    path.chmod(0o644)  # safetensors lets only the owner read; the web process may be another user
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_encoder(path: Path, device: str | None = None) -> Encoder:
    """Load an encoder file onto `device` ("cpu", "cuda"; default: cuda where there is one).

    Raises EncoderFileError if it is a pickle, damaged, or does not describe itself. Nothing is
    downloaded.
    """
    tensors, description = _read(path)
    try:
        spec = _spec(description["spec"])
        network = Network(spec).eval()
        prefix = "network."
        weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        network.backbone.load_state_dict(weights)
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        network.requires_grad_(requires_grad=False).to(where)
        projection = _projection(tensors, where)
        dim = _dim(spec, network, projection, where)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise EncoderFileError(f"{path.name}: does not fit its description: {error}") from error
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Encoder(spec, sha256, dim, description["card"], where, network, projection)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and description of an encoder file."""
    if not path.is_file():
        raise EncoderFileError(f"{path.name}: there is no such file")
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix in {".pth", ".pt", ".bin", ".pkl", ".ckpt"} or start in {b"PK", b"\x80\x02"}:
        raise EncoderFileError(
            f"{path.name}: pickled weights can run any program when opened and are refused; convert them to safetensors"
        )
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise EncoderFileError(f"{path.name}: not a readable safetensors file: {error}") from error
    if not description:
        raise EncoderFileError(f"{path.name}: holds weights but no Fiftycells description of them")
    if description.get("format") != FORMAT_VERSION:
        raise EncoderFileError(f"{path.name}: format {description.get('format')!r}; readable: {FORMAT_VERSION}")
    return tensors, description


def _spec(stored: dict[str, Any]) -> EncoderSpec:
    """JSON has no tuples: turn its lists back into them."""
    known = {f.name for f in fields(EncoderSpec)}
    if unknown := set(stored) - known:
        raise ValueError(f"unknown settings {sorted(unknown)}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return EncoderSpec(**values)


def _projection(tensors: dict[str, torch.Tensor], device: torch.device) -> tuple[torch.Tensor, torch.Tensor] | None:
    if "projection.matrix" not in tensors:
        return None
    mean, matrix = tensors["projection.mean"], tensors["projection.matrix"]
    return mean.float().to(device), matrix.float().to(device)


def _dim(
    spec: EncoderSpec,
    network: Network,
    projection: tuple[torch.Tensor, torch.Tensor] | None,
    device: torch.device,
) -> int:
    """Length of the vectors, found by one forward pass of nothing."""
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, spec.size, spec.size, device=device)).shape[1]
    dim = features if projection is None else projection[1].shape[1]
    if projection is not None and projection[1].shape[0] != features:
        raise ValueError(f"projection of {projection[1].shape[0]} features, not {features}")
    if dim > MAX_DIM:
        raise ValueError(f"vectors of {dim} numbers, most is {MAX_DIM}; add a projection")
    return dim
