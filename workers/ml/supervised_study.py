"""The supervised baseline of a study: the encoder's network trained end to end on the very labels the heads get."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from workers.ml import study
from workers.ml.encoders import Encoder
from workers.ml.frames import Frames, prepare
from workers.ml.sources import Source
from workers.ml.starts import starting_network
from workers.ml.supervised import Codes, SupervisedClassifier, SupervisedRecipe, frame_side

FEW: Final = "supervised"
DIRECT: Final = "supervised-direct"


@dataclass(frozen=True)
class Images:
    """Frames (n, 3, s, s) of the set to fit on, their labels (n,), and frames (m, 3, s, s) of the set to test on."""

    fit: Frames
    labels: Sequence[str]
    test: Frames


@dataclass(frozen=True)
class _Fit:
    """One network to train, on these `rows` (n,) of the fit set."""

    head: str
    per_class: int
    draw: int
    rows: Codes


@dataclass(frozen=True)
class Baseline:
    """Networks of the encoder's architecture; each begins with `weights` (see starting_network).

    One is trained on each of `draws` draws of the heads. With `direct` there is one more for each seed, trained on all
    labels of the fit set, also those of classes that the test set does not have.
    """

    encoder: Encoder
    weights: str
    recipe: SupervisedRecipe
    draws: int
    direct: bool

    @property
    def settings(self) -> dict[str, Any]:
        """All of it that decides the figures."""
        return {"weights": self.weights, "draws": self.draws, **asdict(self.recipe)}

    def checked(self) -> str:
        """Say what is trained from what; raises EncoderFileError if these weights cannot be had."""
        starting_network(self.encoder.spec, self.weights)
        return f"supervised: {self.encoder.spec.architecture} starts from {self.weights} weights, not the encoder's"

    def run(
        self,
        experiment: study.Experiment,
        images: Images,
        per_class: Sequence[int],
        progress: Callable[[int, int], None],
    ) -> Iterator[tuple[study.Trial, SupervisedClassifier]]:
        """Train and test one network after the other; `progress` is called with images gone through and in all."""
        plan = self._plan(experiment, images.labels, per_class)
        once = len(experiment.rows_test)
        total = sum(self.recipe.epochs_of(len(fit.rows)) * len(fit.rows) + once for fit in plan)
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            progress(done, total)

        for fit in plan:
            yield self._trial(experiment, images, fit, advance)

    def _plan(self, experiment: study.Experiment, labels: Sequence[str], per_class: Sequence[int]) -> list[_Fit]:
        plan = [
            _Fit(FEW, k, seed, experiment.rows[study.draw(experiment.y, k, seed)])
            for k in per_class
            for seed in range(self.draws)
        ]
        if self.direct:
            # A draw too: of as many labels per class as the largest one has.
            most = int(np.unique(labels, return_counts=True)[1].max())
            plan += [_Fit(DIRECT, most, seed, np.arange(len(labels))) for seed in range(self.draws)]
        return plan

    def _trial(
        self, experiment: study.Experiment, images: Images, fit: _Fit, advance: Callable[[int], None]
    ) -> tuple[study.Trial, SupervisedClassifier]:
        names, codes = np.unique(np.asarray(images.labels)[fit.rows], return_inverse=True)
        start = partial(starting_network, start=self.weights)
        classifier = SupervisedClassifier(self.encoder.spec, start, len(names), self.encoder.device, fit.draw)
        classifier.fit(images.fit, fit.rows, codes, self.recipe, advance)
        # Classes that only the fit set has are never predicted; the others are read as the experiment does.
        place = {experiment.classes[code]: code for code in np.unique(experiment.y)}
        shared = np.flatnonzero([name in place for name in names])
        found = classifier.predict(images.test, experiment.rows_test, shared, advance)
        predicted = np.array([place[name] for name in names[found]])
        return study.compare(experiment, predicted, fit.head, fit.per_class, fit.draw), classifier


def frames_of(encoder: Encoder, sources: Sequence[Source], folder: Path, report: Callable[[int, int], None]) -> Frames:
    """Decode images of a study once, into `folder`; raises ValueError if one can no longer be read."""
    folder.mkdir()
    frames, refused = prepare(folder, sources, frame_side(encoder.spec), encoder.spec.white, report)
    if refused:
        raise ValueError(f"images have changed during the study: {', '.join(refused)}")
    return frames
