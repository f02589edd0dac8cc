"""Whether a scanner that drifts is noticed in time: python -m benchmarks.drift [--seeds N].

Days of a scanner are drawn from cells whose images change in colour and focus, a little more every day, and again from
cells that stay as they are. Figures and charts are made by the code of the worker and of the page. Each slide is a
patient with a mix of classes of their own. With FIFTYCELLS_DATA the head learns from 50 labels a class of Acevedo's
training part, and the days are of its held-out part; otherwise cells are generated.
"""

import argparse
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from app.models import WatchedDay
from app.reports.sheet import MOST_NOVEL
from app.watching import queries
from app.watching.charts import REFERENCE_DAYS, Chart, charts_of
from benchmarks.data import default_cells
from workers.ml.bundle import in_training_part
from workers.ml.embedding import embed
from workers.ml.encoders import bundled_encoder_path, load_encoder
from workers.ml.heads import fit_head, score
from workers.watching import Day, figures_of

LEVELS = 9  # from no change to all of it; a day between two takes cells of both
DAYS = 60  # after those of the reference
SLIDES, CELLS = 5, 40  # of a day, of a slide
CONCENTRATION = 20.0  # of the classes of a patient around those of all (Dirichlet)
PER_CLASS = 50
POOL = 1500  # cells days are drawn from
FADED = (-0.35, -0.15, 0.25)  # change of the optical density in red, green, blue at the end
BLUR = 2.5  # pixels, at the end
REJECT_BELOW = 0.5  # the default of a project
LOST = 0.05  # of balanced accuracy, before which the alarm must be there

Labelled = list[tuple[bytes, str]]
Vectors = npt.NDArray[np.float32]


class Pool:
    """Cells that days are drawn from, as a head sees them at each level of the change."""

    def __init__(self, head: Any, vectors: list[Vectors], labels: list[str]) -> None:
        self.head, self.vectors = head, vectors
        self.classes, self.codes = np.unique(labels, return_inverse=True)
        self.of_class = [np.flatnonzero(self.codes == code) for code in range(len(self.classes))]
        self.shares = np.bincount(self.codes) / len(labels)
        self.scores = [score(head, each) for each in vectors]
        self.recalls = np.array([self._recalls(scores.proba.argmax(1)) for scores in self.scores])

    def _recalls(self, predicted: npt.NDArray[np.intp]) -> list[float]:
        hits = self.head.classes_[predicted] == self.classes[self.codes]
        return [float(hits[cells].mean()) for cells in self.of_class]

    def accuracy(self, level: float) -> float:
        """Balanced accuracy at a level from 0 to LEVELS - 1."""
        below = min(int(level), LEVELS - 2)
        part = level - below
        return float(((1 - part) * self.recalls[below] + part * self.recalls[below + 1]).mean())

    def day(self, level: float, rng: np.random.Generator) -> WatchedDay:
        """Draw a day of SLIDES patients at a level, and add it up as the worker does."""
        mixes = rng.dirichlet(CONCENTRATION * self.shares, SLIDES)
        chosen = [rng.choice(self.of_class[code]) for mix in mixes for code in rng.choice(len(mix), CELLS, p=mix)]
        at = np.minimum(int(level) + (rng.random(len(chosen)) < level % 1), LEVELS - 1)
        seen = list(zip(at.tolist(), chosen, strict=True))
        proba = np.array([self.scores[level].proba[cell] for level, cell in seen], np.float64)
        novelty = np.array([self.scores[level].novelty[cell] for level, cell in seen], np.float64)
        rejected = (novelty > MOST_NOVEL) | (proba.max(1) < REJECT_BELOW)
        X = np.array([self.vectors[level][cell] for level, cell in seen], np.float16)
        return WatchedDay(
            **figures_of(Day(SLIDES, {"novelty": novelty, "predicted": proba.argmax(1)}, rejected, X), self.head)
        )

    def charts(self, seed: int, *, drifting: bool) -> dict[str, Chart]:
        """Return the charts of the days of the reference and DAYS more."""
        rng = np.random.default_rng(seed)
        days = [self.day(level_of(number) if drifting else 0, rng) for number in range(REFERENCE_DAYS + DAYS)]
        none = [0] * len(days)
        return charts_of(queries.figures(days, none, none))


def level_of(number: int) -> float:
    """Return how far the change has come on a day, counted from the first of the reference."""
    return max(0, number + 1 - REFERENCE_DAYS) / DAYS * (LEVELS - 1)


def changed(data: bytes, level: int) -> bytes:
    """Return an image as the scanner shows it at a level: the stain fades towards blue, the focus is lost."""
    if not level:
        return data
    part = level / (LEVELS - 1)
    density = -np.log((np.arange(256) + 1) / 256)
    table = [256 * np.exp(-density * (1 + part * faded)) - 1 for faded in FADED]
    seen = (
        Image.open(io.BytesIO(data)).convert("RGB").point(np.clip(np.concatenate(table), 0, 255).astype(int).tolist())
    )
    buffer = io.BytesIO()
    seen.filter(ImageFilter.GaussianBlur(BLUR * part)).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def cells() -> tuple[str, Labelled, Labelled]:
    """Return what cells there are: some to learn from and others to draw days from, in random order."""
    name, found = default_cells(Path(), generated=2 * POOL)
    order = np.random.default_rng(0).permutation(sorted(found)).tolist()
    if name == "generated":
        return name, [found[each] for each in order[POOL:]], [found[each] for each in order[:POOL]]
    learn = [found[each] for each in order if in_training_part(Path(each).name)]
    return (
        f"{name}, held-out part",
        learn,
        [found[each] for each in order if not in_training_part(Path(each).name)][:POOL],
    )


def make_pool() -> tuple[str, Pool]:
    """Embed, fit, score."""
    name, learn, days = cells()
    encoder = load_encoder(bundled_encoder_path())
    labels = np.array([code for _data, code in learn])
    chosen = np.concatenate([np.flatnonzero(labels == code)[:PER_CLASS] for code in np.unique(labels)])
    rest = np.setdiff1d(np.arange(len(labels)), chosen)[:POOL]
    X = embed(encoder, [learn[at][0] for at in (*chosen, *rest)]).vectors.astype(np.float32)
    head = fit_head("ours", X[: len(chosen)], labels[chosen], X[len(chosen) :])
    blobs = [data for data, _code in days]
    vectors = [
        embed(encoder, list(map(partial(changed, level=level), blobs))).vectors.astype(np.float32)
        for level in range(LEVELS)
    ]
    return name, Pool(head, vectors, [code for _data, code in days])


def first_alarm(chart: Chart) -> int | None:
    """Return the day of the first alarm, counted from the end of the reference; None without one."""
    return next((day - REFERENCE_DAYS + 1 for day, rule in enumerate(chart.out) if rule), None)


def main() -> None:
    """Draw, chart, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    name, pool = make_pool()
    print(f"{name}: {len(pool.codes)} cells; {SLIDES} slides of {CELLS} cells a day, {DAYS} days, {seeds} seeds")
    unchanged = [pool.charts(seed, drifting=False) for seed in range(seeds)]
    drifting = [pool.charts(seed, drifting=True) for seed in range(seeds, 2 * seeds)]
    first = {each: [first_alarm(charts[each]) for charts in drifting] for each in drifting[0]}
    days = [min((each for each in found if each), default=DAYS) for found in zip(*first.values(), strict=True)]
    accuracies = [pool.accuracy(level_of(REFERENCE_DAYS - 1 + day)) for day in range(DAYS + 1)]
    lost = [accuracies[0] - accuracies[day] for day in days]
    for each, found in first.items():
        known = [day for day in found if day]
        when = f"first on day {min(known, default=0)} to {max(known, default=0)}"
        print(f"  {each:10} alarm in {len(known)} of {seeds} seeds, {when}")
    figures = {
        "false_alarms": sum(any(chart.out) for charts in unchanged for chart in charts.values()),
        "unnoticed": seeds - sum(any(any(chart.out) for chart in charts.values()) for charts in drifting),
        "first_alarm_day_median": float(np.median(days)),
        "first_alarm_day_latest": max(days),
        "accuracy_before": round(accuracies[0], 4),
        "accuracy_at_the_end": round(accuracies[-1], 4),
        "day_of_5_points_lost": next(
            (day for day, each in enumerate(accuracies) if accuracies[0] - each >= LOST), None
        ),
        "most_lost_at_alarm": round(max(lost), 4),
        "seeds": seeds,
    }
    for key, value in figures.items():
        print(f"  {key:26} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
