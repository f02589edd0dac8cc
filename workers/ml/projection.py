"""A linear map to few dimensions, fitted on unlabelled cells."""

from typing import Final

import numpy as np
import numpy.typing as npt

SEED: Final = 0


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
