"""Real encoder files that are quick to use, for tests of what happens around encoders."""

from dataclasses import replace
from pathlib import Path

import torch

from workers.ml.encoders import bundled_encoder_path, load_encoder, save_encoder
from workers.ml.spec import EncoderSpec
from workers.ml.starts import starting_network

SPEC = EncoderSpec(name="tiny", architecture="test_efficientnet", size=32, crop=0.6, precision="float32")


def save_small_encoder(path: Path) -> Path:
    """Write a tiny network with random weights, always the same; it tells colours apart."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_encoder(path, SPEC, starting_network(SPEC, "random"), None, {"licence": "none"})
    return path


def save_quick_encoder(path: Path) -> Path:
    """Write the bundled encoder as one that looks once, at 64 pixels, where it looks several times at more."""
    bundled = load_encoder(bundled_encoder_path())
    spec = replace(bundled.spec, name="quick", views=bundled.spec.views[:1], crop=bundled.spec.crops[0], size=64)
    assert bundled.projection is not None
    mean, matrix = (part.cpu().numpy() for part in bundled.projection)
    save_encoder(path, spec, bundled.network, (mean, matrix), bundled.card)
    return path
