"""A real encoder file, small and with random weights: for tests of what happens around encoders."""

from pathlib import Path

from workers.ml.encoders import save_encoder
from workers.ml.spec import EncoderSpec
from workers.ml.starts import starting_network

SPEC = EncoderSpec(name="tiny", architecture="test_efficientnet", size=32, crop=0.6, precision="float32")


def save_small_encoder(path: Path) -> Path:
    """Write the file; it tells colours apart."""
    save_encoder(path, SPEC, starting_network(SPEC, "random"), None, {"licence": "none"})
    return path
