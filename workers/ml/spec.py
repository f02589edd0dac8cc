"""What an encoder file says about how images become features."""

from dataclasses import dataclass, field
from typing import Any, Final

import timm
import torch

VIEWS: Final = ("r0", "r90", "r180", "r270", "r0f", "r90f", "r180f", "r270f")
"""The eight views of a square: turned by so many degrees, `f` mirrored left to right before."""
PRECISIONS: Final = {"float16": torch.float16, "float32": torch.float32}
# Anything else could make timm download or open other files.
_ARCHITECTURE_OPTIONS: Final = {"bn_eps", "img_size", "pad_type"}


@dataclass(frozen=True)
class EncoderSpec:
    """How images become features; stored in the encoder file.

    `architecture` is timm's name, `layers` the modules whose pooled outputs are concatenated
    (empty: timm's own pooled output), `crop` the side of the centre square as a fraction of the
    shorter side, one or several that the views take in turn, `size` its side in pixels as it enters
    the network, `mean` and `std` per RGB channel on a 0 to 1 scale, `views` the symmetries averaged,
    `precision` that of the weights.
    `white` is the percentile of each channel that is taken for the empty background and made white
    (None: colours stay as they are), so that lamp and camera matter less.
    """

    name: str
    architecture: str
    size: int
    crop: float | tuple[float, ...] = 1.0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    white: float | None = None
    views: tuple[str, ...] = ("r0",)
    layers: tuple[str, ...] = ()
    precision: str = "float16"
    architecture_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = set(self.architecture_options) - _ARCHITECTURE_OPTIONS
        problems = {
            f"timm has no architecture {self.architecture!r}": not timm.is_model(self.architecture),
            f"architecture options {sorted(options)} are not allowed": bool(options),
            f"input size {self.size} is not within 16 to 1024": not 16 <= self.size <= 1024,
            f"crop {self.crop} is not within 0 to 1": not self.crops or not all(0 < crop <= 1 for crop in self.crops),
            f"{len(self.crops)} crops for {len(self.views)} views": len(self.crops) > max(1, len(self.views)),
            f"white {self.white} is not within 50 to 100": self.white is not None and not 50 <= self.white <= 100,
            f"views {self.views} are not of {VIEWS}": not self.views or {*self.views} - {*VIEWS},
            f"precision {self.precision!r} is not of {[*PRECISIONS]}": self.precision not in PRECISIONS,
            "mean and std are not three numbers each, std above 0": (
                {len([*self.mean]), len([*self.std])} != {3} or min(self.std) <= 0
            ),
        }
        for problem, present in problems.items():
            if present:
                raise ValueError(problem)

    @property
    def crops(self) -> tuple[float, ...]:
        """The crops as a tuple, however many they are."""
        return self.crop if isinstance(self.crop, tuple) else (self.crop,)
