"""Random views of cells, a whole batch at a time, in torch on the device that trains."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional

_MIN_DENSITY: Final = 1 / 256
_MAX_RATIO: Final = 2.0


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a cell without making it another cell.

    Geometry: `scale` is the side of the cut as a fraction of the image's, `shift` how far its centre
    may move (the same fraction), `aspect` and `perspective` how far it is distorted; every view is
    turned by any angle and mirrored half of the time.
    Background: with probability `background` all beyond a soft circle around the centre comes from
    another image of the batch.
    Colour, in optical density as dyes absorb: `stain` is the spread of each channel's gain,
    `mixing` of what leaks between channels, `light` of the lamp's colour and strength, `gamma` of
    the camera's curve; `jitter` is the probability of all of it, `grey` and `solarize` theirs.
    Before that, with probability `exchange`, a view gets the mean and deviation of each channel's density
    from another view of the batch (after Reinhard et al. 2001), which is how another lab may have stained it.
    Optics: `blur` is the probability, `sigma` the range in pixels of the view; `noise` the largest
    deviation on a scale of 0 to 1.
    """

    scale: tuple[float, float] = (0.45, 0.8)
    shift: float = 0.06
    aspect: float = 0.1
    perspective: float = 0.0
    background: float = 0.3
    exchange: float = 0.0
    stain: float = 0.25
    mixing: float = 0.08
    light: float = 0.1
    gamma: float = 0.2
    jitter: float = 0.9
    grey: float = 0.1
    solarize: float = 0.0
    blur: float = 0.5
    sigma: tuple[float, float] = (0.2, 1.5)
    noise: float = 0.03

    def __call__(self, images: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
        """Return views of images: uint8 (n, 3, s, s) -> float32 (n, 3, size, size) from 0 to 1.

        Randomness comes from `generator` alone, which is on the CPU whatever the images' device.
        """
        draw = Draw(generator, len(images), images.device)
        frames = images.float() / 255
        if self.background:
            frames = self._exchange_background(frames, draw)
        views = self._cut(frames, size, draw)
        views = self._recolour(views, draw)
        return self._optics(views, draw).clamp(0, 1)

    def _exchange_background(self, frames: torch.Tensor, draw: "Draw") -> torch.Tensor:
        side = torch.linspace(-1, 1, frames.shape[-1], device=frames.device)
        radius = torch.hypot(side[:, None], side[None, :])
        inside = torch.sigmoid((draw.uniform(0.5, 0.75)[:, None, None] - radius) / 0.05)[:, None]
        own = torch.where(draw.happens(self.background)[:, None, None, None], inside, 1.0)
        return frames * own + frames[draw.order()].flip(3) * (1 - own)

    def _cut(self, frames: torch.Tensor, size: int, draw: "Draw") -> torch.Tensor:
        """Sample each view through one homography (Hartley and Zisserman 2004, section 2.3)."""
        angle, scale = draw.uniform(0, 2 * math.pi), draw.uniform(*self.scale)
        mirrored = 1 - 2 * draw.happens(0.5).float()
        stretch = torch.exp(draw.uniform(-self.aspect, self.aspect) / 2)
        width, height = scale * stretch * mirrored, scale / stretch
        one = torch.ones_like(angle)
        rows = [
            [width * angle.cos(), -height * angle.sin(), draw.uniform(-self.shift, self.shift) * 2],
            [width * angle.sin(), height * angle.cos(), draw.uniform(-self.shift, self.shift) * 2],
            [self.perspective * draw.uniform(-1, 1) / 2, self.perspective * draw.uniform(-1, 1) / 2, one],
        ]
        homography = torch.stack([torch.stack(row, 1) for row in rows], 1)
        side = (torch.arange(size, device=frames.device) * 2 + 1) / size - 1
        y, x = torch.meshgrid(side, side, indexing="ij")
        points = torch.stack([x, y, torch.ones_like(x)], 2).reshape(1, -1, 3) @ homography.transpose(1, 2)
        grid = (points[..., :2] / points[..., 2:]).reshape(len(frames), size, size, 2)
        return functional.grid_sample(frames, grid, padding_mode="reflection", align_corners=False)

    def _recolour(self, views: torch.Tensor, draw: "Draw") -> torch.Tensor:
        density = -torch.log(views.clamp_min(_MIN_DENSITY))
        if self.exchange:
            density = self._exchange_stain(density, draw)
            views = torch.exp(-density)
        gain = torch.exp(self.stain * draw.normal(3))
        mixing = torch.diag_embed(gain) + self.mixing * draw.normal(3, 3)
        lamp = self.light * (draw.normal(1) + draw.normal(3) / 2)
        changed = torch.einsum("ncd,ndhw->nchw", mixing, density) + lamp[..., None, None]
        curve = torch.exp(self.gamma * draw.normal(1))[..., None, None]
        coloured = torch.exp(-changed * curve).clamp(0, 1)
        coloured = torch.where(draw.happens(self.jitter)[:, None, None, None], coloured, views)
        grey = coloured.mean(1, keepdim=True).expand_as(coloured)
        coloured = torch.where(draw.happens(self.grey)[:, None, None, None], grey, coloured)
        solarized = torch.where(coloured >= 0.5, 1 - coloured, coloured)
        return torch.where(draw.happens(self.solarize)[:, None, None, None], solarized, coloured)

    def _exchange_stain(self, density: torch.Tensor, draw: "Draw") -> torch.Tensor:
        std, mean = torch.std_mean(density, (2, 3), keepdim=True)
        other = draw.order()
        ratio = (std[other] / std.clamp_min(0.01)).clamp(1 / _MAX_RATIO, _MAX_RATIO)
        theirs = ((density - mean) * ratio + mean[other]).clamp_min(0)
        return torch.where(draw.happens(self.exchange)[:, None, None, None], theirs, density)

    def _optics(self, views: torch.Tensor, draw: "Draw") -> torch.Tensor:
        n, channels, height, width = views.shape
        reach = max(1, math.ceil(2.5 * self.sigma[1]))
        offsets = torch.arange(-reach, reach + 1, device=views.device).float()
        sigma = torch.where(draw.happens(self.blur), draw.uniform(*self.sigma), 1e-3)
        kernel = torch.softmax(-offsets.square() / (2 * sigma.square()[:, None]), 1).repeat_interleave(channels, 0)
        padded = functional.pad(views, (reach,) * 4, mode="reflect").reshape(1, n * channels, height + 2 * reach, -1)
        rows = functional.conv2d(padded, kernel[:, None, None, :], groups=n * channels)
        blurred = functional.conv2d(rows, kernel[:, None, :, None], groups=n * channels).reshape(views.shape)
        strength = draw.uniform(0, self.noise)[:, None, None, None]
        return blurred + strength * draw.normal(channels, height, width)


class Draw:
    """Random numbers for a batch of `n`, drawn on the CPU so that every device sees the same ones."""

    def __init__(self, generator: torch.Generator, n: int, device: torch.device) -> None:
        self.generator, self.n, self.device = generator, n, device

    def uniform(self, low: float, high: float) -> torch.Tensor:
        """Draw (n,) numbers between `low` and `high`."""
        return (low + (high - low) * torch.rand(self.n, generator=self.generator)).to(self.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Draw (n, *shape) standard normal numbers."""
        return torch.randn(self.n, *shape, generator=self.generator).to(self.device)

    def happens(self, probability: float) -> torch.Tensor:
        """Draw (n,) booleans."""
        return (torch.rand(self.n, generator=self.generator) < probability).to(self.device)

    def order(self) -> torch.Tensor:
        """Draw an order of the batch (n,)."""
        return torch.randperm(self.n, generator=self.generator).to(self.device)
