"""The three classifiers of Wenderoth et al. 2025 on frozen features, exactly as published."""

from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PowerTransformer
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from workers.ml.lda import folds_of, temperature

_FOLDS: Final = 5


class PaperHead(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """PowerTransformer -> PCA (all components) -> one of three classifiers.

    `kind` is "lr" (logistic regression, C = 2.5), "svm" (RBF, C = 1) or "knn" (3 neighbours, weighted
    by inverse distance); the first two weight the classes equally. Predictions are the paper's to
    the last one. Only the probabilities of "svm" are not: the paper's Platt scaling contradicts its own
    predictions at times and leaves scikit-learn, so they are a softmax of the decision values at an
    out-of-fold temperature.

    Fitted: `pipeline_`, `classes_`, `temperature_` (1 but for "svm").
    """

    def __init__(self, kind: str = "lr") -> None:
        self.kind = kind

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit on X (n, d) and labels y (n,); ValueError for one class, or "knn" on two labels."""
        rows, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"labels of two classes are needed; got 1 class: {labels[0]}")
        self.pipeline_ = self._pipeline().fit(rows, labels)
        self.temperature_ = self._temperature(rows, codes) if self.kind == "svm" else 1.0
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the pipeline's own predictions (n,)."""
        rows = self._valid(X)
        return self.pipeline_.predict(rows)  # type: ignore[no-any-return]

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Probabilities (n, k) in the order of `classes_`."""
        rows = self._valid(X)
        if self.kind != "svm":
            return self.pipeline_.predict_proba(rows)  # type: ignore[no-any-return]
        proba: npt.NDArray[np.float64] = softmax(_logits(self.pipeline_, rows) / self.temperature_, axis=1)
        return proba

    def _valid(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False)  # type: ignore[no-any-return]

    def _pipeline(self) -> Pipeline:
        # An exhaustive search finds the same neighbours as a tree, and has only arrays to store.
        classifiers = {
            "lr": LogisticRegression(C=2.5, class_weight="balanced", max_iter=10_000),
            "svm": SVC(C=1, gamma="scale", class_weight="balanced", break_ties=True),
            "knn": KNeighborsClassifier(n_neighbors=3, weights="distance", algorithm="brute"),
        }
        if self.kind not in classifiers:
            raise ValueError(f"kind {self.kind!r} is not one of {[*classifiers]}")
        return make_pipeline(PowerTransformer(), PCA(), classifiers[self.kind])

    def _temperature(self, X: npt.NDArray[np.float64], codes: npt.NDArray[np.intp]) -> float:
        """Out-of-fold temperature; 1 where a class has too few labels to hold any out."""
        counts = np.bincount(codes)
        if counts.min() < 2:
            return 1.0
        fold = folds_of(codes, min(_FOLDS, counts.min()))
        logits = np.empty((len(codes), len(counts)))
        for number in range(fold.max() + 1):
            held = fold == number
            logits[held] = _logits(self._pipeline().fit(X[~held], codes[~held]), X[held])
        return temperature(logits, codes)


def _logits(pipeline: Pipeline, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Decision values (n, k), also for two classes."""
    decision: npt.NDArray[np.float64] = pipeline.decision_function(X)
    return np.stack([-decision, decision], 1) if decision.ndim == 1 else decision
