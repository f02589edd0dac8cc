"""Weights of other projects as encoder files: DinoBloom, Wenderoth's XCiT, any network of timm."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from workers.ml.embedding import embed
from workers.ml.encoders import MAX_DIM, Encoder, EncoderFileError, Network, save_encoder
from workers.ml.projection import SEED, principal_axes
from workers.ml.spec import EncoderSpec

PROJECTION_IMAGES: Final = 2000
_PREFIXES: Final = ("teacher.backbone.", "teacher.", "backbone.", "module.", "")
# Heads of self-supervised training and what only training needs. Anything else that a network has no place for means
# that it is another network.
_LEFT_OUT: Final = ("dino_head.", "ibot_head.", "mask_token", "head.", "head_dist.", "fc.", "classifier.")
Projection = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Preset:
    """How published weights are used, and what their card says."""

    spec: EncoderSpec
    card: Mapping[str, str]


def _dinobloom(letter: str, size: str) -> Preset:
    name = f"dinobloom-{letter}"
    spec = EncoderSpec(name, f"vit_{size}_patch14_dinov2", 224, architecture_options={"img_size": 224})
    data = "13 public sets of blood and bone marrow cells, more than 380,000 images (Koch et al. 2024)"
    return Preset(spec, {"licence": "Apache-2.0", "data": data, "summary": f"DinoBloom-{letter.upper()}"})


PRESETS: Final = {
    "dinobloom-s": _dinobloom("s", "small"),
    "dinobloom-b": _dinobloom("b", "base"),
    "dinobloom-l": _dinobloom("l", "large"),
    "dinobloom-g": _dinobloom("g", "giant"),
    "paper-xcit": Preset(
        # The paper's input is x * 2 - 1, and its feature the class token.
        EncoderSpec("paper-xcit", "xcit_small_12_p8_224", 224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        {"licence": "not stated", "data": "Matek bone marrow", "summary": "XCiT-S12/8 of Wenderoth et al. 2025"},
    ),
}


def timm_spec(architecture: str) -> EncoderSpec:
    """Return how a network of timm is used by default; ValueError for an unknown name."""
    config = timm.get_pretrained_cfg(architecture) if timm.is_model(architecture) else None
    if config is None:
        raise ValueError(f"timm has no architecture {architecture!r}")
    (red, green, blue), (red_std, green_std, blue_std) = config.mean, config.std
    return EncoderSpec(
        architecture, architecture, config.input_size[-1], mean=(red, green, blue), std=(red_std, green_std, blue_std)
    )


def resized(spec: EncoderSpec, size: int) -> EncoderSpec:
    """Return the same network for images of `size` pixels; transformers are told, convolutions need not be."""
    with torch.device("meta"):
        told = "img_size" in inspect.signature(type(timm.create_model(spec.architecture))).parameters
    return replace(spec, size=size, architecture_options={"img_size": size} if told else {})


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file; EncoderFileError if it is anything else."""
    if not path.is_file():
        raise EncoderFileError(f"{path}: there is no such file")
    if path.suffix != ".safetensors":
        raise EncoderFileError(
            f"{path.name}: not a safetensors file. Pickled weights (.pth, .pt, .bin) can run any program when opened; "
            "docs/encoders.md shows three lines that convert them safely"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise EncoderFileError(f"{path.name}: not a readable safetensors file: {error}") from error


def fitting(backbone: nn.Module, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a backbone's state dict made from published weights, whose tensors may have other names.

    Prefixes of training frameworks and heads are taken off; names of the original repositories become timm's, by
    timm's own rules, which also resample position embeddings of another image size. Raises EncoderFileError that names
    what is missing, left over or of another shape.
    """
    prefix = next((prefix for prefix in _PREFIXES if any(key.startswith(prefix) for key in weights)), "")
    own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    rename = getattr(inspect.getmodule(type(backbone)), "checkpoint_filter_fn", None)
    found = rename(own, backbone) if rename else own
    wanted = backbone.state_dict()
    other = [key for key in wanted.keys() & found.keys() if wanted[key].shape != found[key].shape]
    left = [key for key in found.keys() - wanted.keys() if not key.startswith(_LEFT_OUT)]
    for problem, keys in (("lacks", wanted.keys() - found.keys()), ("has another shape of", other), ("also has", left)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise EncoderFileError(f"these are weights of another network: the file {problem} {min(keys)}{more}")
    return {key: found[key] for key in wanted}


def convert(
    weights: Path,
    use: Preset,
    out: Path,
    images: Sequence[bytes] = (),
    dim: int | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> None:
    """Write published weights as an encoder file.

    Features of more than `dim` numbers (default and most: 384) are projected: with `images`, unlabelled files, onto
    their principal axes; without, onto random orthonormal directions (seed 0), which nearly keep distances. Raises
    EncoderFileError for weights that do not fit and ValueError for too few images. `progress` is called with the
    number of images done.
    """
    spec, tensors = use.spec, read_weights(weights)
    network = Network(spec).eval()
    try:
        network.backbone.load_state_dict(fitting(network.backbone, tensors))
    except EncoderFileError as error:
        raise EncoderFileError(f"{weights.name} as {spec.architecture}: {error}") from error
    network.requires_grad_(requires_grad=False)
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, spec.size, spec.size)).shape[1]
    encoder = Encoder(spec, "", features, {}, torch.device("cpu"), network, None)
    projection = _projection(encoder, images, min(dim or MAX_DIM, features), progress)
    how = "none" if projection is None else f"principal axes of {len(images)} images" if images else "random"
    with weights.open("rb") as file:
        source = {"weights": weights.name, "weights_sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    unknown = dict.fromkeys(("images_seen", "git_revision", "seed"))
    save_encoder(out, spec, network, projection, {**unknown, **use.card, **source, "projection": how})


def _projection(
    encoder: Encoder, images: Sequence[bytes], dim: int, progress: Callable[[int], None]
) -> Projection | None:
    if encoder.dim == dim:
        return None
    if not images:
        directions, _ = np.linalg.qr(np.random.default_rng(SEED).normal(size=(encoder.dim, dim)))
        return np.zeros(encoder.dim, np.float32), directions.astype(np.float32)
    vectors = embed(encoder, images, progress=progress).vectors.astype(np.float32)
    readable = vectors[np.isfinite(vectors).all(1)]
    if len(readable) < 2 * dim:
        raise ValueError(f"{len(readable)} readable images are too few for {dim} dimensions: {2 * dim} are needed")
    return principal_axes(readable, encoder.network.widths, dim)
