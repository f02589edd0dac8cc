"""Figures of a study, each as SVG and PNG."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

with warnings.catch_warnings():
    # On import it warns that there is no TensorFlow, for a part that is not used here.
    warnings.simplefilter("ignore", ImportWarning)
    from umap import UMAP

MAX_POINTS: Final = 10_000
MIN_POINTS: Final = 16
"""A UMAP looks at the 15 nearest neighbours; fewer cells are shown by PCA."""
_SEED: Final = 0
_MARKERS: Final = "os^Dv"


def draw_curve(out: Path, summary: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Balanced accuracy over labels per class, a line a head, its standard deviation shaded (the paper's figure)."""
    figure, axes = _figure(7.6, 4.2)
    for (head, table), marker in zip(summary.items(), _MARKERS * len(summary), strict=False):
        k = np.array([int(labels) for labels in table])
        mean = np.array([cell["mean"] for cell in table.values()])
        std = np.array([cell["std"] for cell in table.values()])
        (line,) = axes.plot(k, mean, marker=marker, label=f"{head} ({next(iter(table.values()))['n']})")
        axes.fill_between(k, mean - std, mean + std, alpha=0.2, color=line.get_color(), linewidth=0)
    axes.set_xscale("log")
    ticks = sorted({int(labels) for table in summary.values() for labels in table})
    axes.set_xticks(ticks, [str(labels) for labels in ticks])
    axes.minorticks_off()
    axes.set_xlabel("labels per class")
    axes.set_ylabel("balanced accuracy")
    axes.grid(alpha=0.3)
    axes.legend(
        title="mean and deviation\n(number of draws)", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False
    )
    _save(figure, out / "curve")


def draw_confusion(out: Path, title: str, counts: npt.NDArray[np.int64], rows: list[str], columns: list[str]) -> None:
    """Share of each class's test cells that was predicted as each class; `counts` is (rows, columns)."""
    share = counts / counts.sum(1, keepdims=True)
    figure, axes = _figure(2 + 0.5 * len(columns), 1.6 + 0.45 * len(rows))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.005:
            color = "white" if value > 0.5 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    axes.set_title(title, fontsize=10)
    _save(figure, out)


def draw_map(out: Path, vectors: npt.NDArray[np.float32], labels: Sequence[str], encoder: str) -> None:
    """UMAP (McInnes et al. 2018) of embeddings (n, d), coloured by label; at most MAX_POINTS random ones."""
    chosen = np.random.default_rng(_SEED).permutation(len(vectors))[:MAX_POINTS]
    shown, names = vectors[chosen], np.asarray(labels)[chosen]
    method = "UMAP" if len(shown) >= MIN_POINTS else "PCA"
    figure, axes = _figure(7.2, 5.4)
    x, y = flattened(shown, method).T
    classes = sorted({*labels})
    colors = mpl.colormaps["tab10" if len(classes) <= 10 else "tab20"].colors  # type: ignore[attr-defined]
    for i, name in enumerate(classes):
        mine = names == name
        style = {"color": colors[i % len(colors)], "marker": _MARKERS[i // len(colors)]}
        axes.scatter(x[mine], y[mine], s=6, linewidths=0, label=f"{name} ({mine.sum()})", **style)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{method} of {len(shown)} test cells, {encoder}", fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2.5, frameon=False)
    _save(figure, out / "umap")


def flattened(vectors: npt.NDArray[np.float32], method: str) -> Any:
    """Places (n, 2) of embeddings (n, d) by "UMAP" or "PCA"."""
    if method == "PCA":
        return PCA(2).fit_transform(vectors)
    # With a seed it runs on one core; asking for that avoids a warning.
    return UMAP(random_state=_SEED, n_jobs=1, init="pca").fit_transform(vectors)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Figure, path: Path) -> None:
    """Write both formats; the same figure gives the same bytes, with text kept as text."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fiftycells"}):
        figure.savefig(path.with_name(f"{path.name}.svg"), metadata={"Date": None})
        figure.savefig(path.with_name(f"{path.name}.png"), dpi=150)
