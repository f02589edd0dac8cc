"""Our head for few labels: discriminant analysis, then logistic regression; calibrated, with a novelty."""

from copy import copy
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

FloatArray = npt.NDArray[np.floating[Any]]

COVERAGE: Final = 0.95
"""Share of the cells of known classes that novelty keeps at or below 1."""
# Matrices here are small. On cores that also embed and serve, BLAS threads wait for each other: one is
# over twenty times as fast (docs/encoders.md). Set once: the setting is process-wide, not per thread.
ThreadpoolController().limit(limits=1, user_api="blas")

UNLABELLED_WEIGHT: Final = 8
"""Labels per class that the unlabelled cells weigh at most."""
_SHRINKAGE: Final = 0.1
"""Of the identity, on top of what Ledoit and Wolf find: costs nothing at home and helps at another lab."""
_C: Final = 0.03
"""Inverse strength of the logistic regression's penalty; from 0.003 to 0.1 the accuracy is the same."""
_CLEAR: Final = 0.7
_FAMILIAR: Final = 0.9
_REFINEMENTS: Final = 2
_FOLDS: Final = 10
_MAX_CHANGE: Final = np.log(100.0)


class LogisticLDA(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression where discriminant analysis makes cells of a class scatter alike in all directions.

    The space is that of Gaussian classes with one covariance, shrunk by Ledoit and Wolf (2004) and a little more. In it
    a strongly penalised logistic regression finds the borders between the classes (docs/encoders.md compares it with
    others). Classes weigh alike, however many labels they have: what blood holds is not what people label.
    Works from two classes with one label each on; 8 classes x 50 labels x 192 dimensions take some 100 milliseconds.

    Probabilities are softmax(logits / `temperature_`). The temperature minimises the log loss of
    out-of-fold logits (Guo et al. 2017).

    Fitted: `classes_` (k,), `center_` (d,), `whitener_` (d, d) with whitener_ @ whitener_.T the inverse covariance,
    `means_` (k, d) whitened class means, `coef_` (k, d) and `intercept_` (k,) of the logits in that space,
    `temperature_`, `novelty_scale_`, `out_of_fold_accuracy_` the balanced accuracy on labels predicted unseen, from one
    deal of folds and without unlabelled cells (NaN with one label a class).
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, unlabelled: npt.ArrayLike | None = None) -> Self:
        """Fit on X (n, d), labels y (n,) and, where there are any, cells without label (m, d) of the same scanner.

        The unlabelled cells whose class is clear refine means and covariance, as in self-training (Scudder 1965). Each
        class gets by them what at most UNLABELLED_WEIGHT more labels would weigh, so its own labels soon outweigh them.
        Raises ValueError if y has fewer than two classes.
        """
        rows, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"labels of two classes are needed; got 1 class: {labels[0]}")
        self.center_, self.whitener_, self.means_ = _gaussian(rows, codes, len(self.classes_))
        self.coef_, self.intercept_ = _logistic((rows - self.center_) @ self.whitener_, codes)
        held_out, logits, angles = self._out_of_fold(rows, codes)
        self.temperature_ = temperature(logits, codes[held_out]) if len(held_out) else 1.0
        self.out_of_fold_accuracy_ = _mean_recall(codes[held_out], logits.argmax(1))
        # Copies of one cell have no angle at all; any other cell is then novel, but finitely so.
        self.novelty_scale_ = max(_upper_bound(angles, COVERAGE), 1e-3)
        if unlabelled is not None and len(np.asarray(unlabelled)):
            self._refine(rows, codes, validate_data(self, unlabelled, dtype=np.float64, reset=False))
        return self

    def after(self, offset: FloatArray, scale: FloatArray, target: FloatArray) -> Self:
        """Return this head for cells x (d,) that must become (x - offset) * scale + target before it sees them."""
        head = copy(self)
        head.center_ = offset - (target - self.center_) / scale
        head.whitener_ = scale[:, None] * self.whitener_
        return head

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Logits (n, k) before calibration; for two classes their difference (n,)."""
        logits = self._logits(self._whiten(X))
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the most probable class of each row."""
        logits = self._logits(self._whiten(X))
        return self.classes_[logits.argmax(1)]  # type: ignore[no-any-return]

    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Calibrated probabilities (n, k) in the order of `classes_`."""
        return self.predict_both(X)[0]

    def novelty(self, X: npt.ArrayLike) -> FloatArray:
        """Angle to the nearest class mean (n,), 1 = only 5 % of the cells of known classes are as far.

        Seen from the mean of all classes, in the space where cells of one class scatter alike in all directions: a
        known cell lies in the direction of its class, one of no known class in a direction of its own. Divided by what
        covers 95 % of the labelled cells' own out-of-fold angles, so that values compare between classifiers.
        """
        return self.predict_both(X)[1]

    def rejects(self, X: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether a cell fits no class (n,): novelty above 1. Of cells of known classes 95 % are kept (COVERAGE)."""
        return self.novelty(X) > 1

    def deviations(self, X: npt.ArrayLike, predicted: npt.NDArray[np.integer[Any]]) -> FloatArray:
        """Deviation (n, d) of each row from the mean of its class, given as a column (n,) of `classes_`.

        In the space where cells of one class scatter by 1 in all directions.
        """
        white = self._whiten(X)
        away: FloatArray = white - self.means_.astype(white.dtype)[predicted]
        return away

    def predict_both(self, X: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return predict_proba and novelty at the price of one."""
        white = self._whiten(X)
        logits = self._logits(white)
        angles = _angles(white, self.means_.astype(white.dtype)) / white.dtype.type(self.novelty_scale_)
        return softmax(logits / white.dtype.type(self.temperature_), axis=1), angles

    def _refine(self, X: FloatArray, codes: npt.NDArray[np.intp], unlabelled: FloatArray) -> None:
        k = len(self.classes_)
        for _ in range(_REFINEMENTS):
            proba, novelty = self.predict_both(unlabelled)
            # A class without labels would otherwise be taken into those it resembles, and no longer be novel.
            clear = (proba.max(1) > _CLEAR) & (novelty < _FAMILIAR)
            guessed = proba.argmax(1)[clear]
            share = np.minimum(1, UNLABELLED_WEIGHT / np.maximum(np.bincount(guessed, minlength=k), 1))
            self.center_, self.whitener_, self.means_ = _gaussian(
                np.concatenate([X, unlabelled[clear]]),
                np.concatenate([codes, guessed]),
                k,
                np.concatenate([np.ones(len(X)), share[guessed]]),
            )
            self.coef_, self.intercept_ = _logistic((X - self.center_) @ self.whitener_, codes)

    def _whiten(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        rows: FloatArray = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return (rows - self.center_.astype(rows.dtype)) @ self.whitener_.astype(rows.dtype)

    def _logits(self, white: FloatArray) -> FloatArray:
        return white @ self.coef_.T.astype(white.dtype) + self.intercept_.astype(white.dtype)

    def _out_of_fold(
        self, X: FloatArray, codes: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.intp], FloatArray, FloatArray]:
        """Indices (m,), logits (m, k) and angles to the nearest class (m,) of labels predicted unseen.

        A class's only label is not held out, for nothing would be left of its class.
        """
        counts = np.bincount(codes)
        fold = folds_of(codes, min(_FOLDS, counts.max()))
        found: list[tuple[npt.NDArray[np.intp], FloatArray, FloatArray]] = []
        for number in range(fold.max() + 1):
            held = np.flatnonzero((fold == number) & (counts[codes] > 1))
            if not len(held):
                continue
            rest = np.setdiff1d(np.arange(len(codes)), held)
            center, whitener, means = _gaussian(X[rest], codes[rest], len(counts))
            white = (X[held] - center) @ whitener
            coef, intercept = _logistic((X[rest] - center) @ whitener, codes[rest])
            found.append((held, white @ coef.T + intercept, _angles(white, means)))
        if not found:
            return np.empty(0, np.intp), np.empty((0, len(counts))), np.empty(0)
        indices, logits_, angles = zip(*found, strict=True)
        return np.concatenate(indices), np.concatenate(logits_), np.concatenate(angles)


def _mean_recall(codes: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp]) -> float:
    counts, right = np.bincount(codes), np.bincount(codes, weights=codes == predicted)
    return float((right[counts > 0] / counts[counts > 0]).mean()) if len(codes) else float("nan")


def folds_of(codes: npt.NDArray[np.intp], folds: int) -> npt.NDArray[np.intp]:
    """Deal the labels of each class in turn, so every fold has its share; no randomness needed."""
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))[:-1]])
    position = np.empty(len(codes), np.intp)
    position[order] = np.arange(len(codes)) - starts[codes[order]]
    return position % folds


def _gaussian(
    X: FloatArray, codes: npt.NDArray[np.intp], k: int, weights: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Center (d,), whitener (d, d) and whitened class means (k, d) of one shrunk Gaussian a class; rows weigh 1."""
    weights = np.ones(len(X)) if weights is None else weights
    shares = np.zeros((k, len(codes)))
    shares[codes, np.arange(len(codes))] = weights
    means = shares @ X / shares.sum(1, keepdims=True)
    center = means.mean(0)
    covariance = _ledoit_wolf(X - means[codes], weights)
    # The k means come from the same labels: without n / (n - k) few labels would look too certain.
    covariance *= weights.sum() / max(weights.sum() - k, 1)
    d = X.shape[1]
    spread = np.trace(covariance) / d
    if spread > 0:
        covariance[np.diag_indices(d)] += 1e-6 * spread
    else:  # one label a class, or copies: nothing is known but how far apart the means are
        covariance = np.eye(d) * (np.square(means - center).mean() or 1.0)
    lower = np.linalg.cholesky(covariance)
    whitener = solve_triangular(lower, np.eye(d), lower=True).T
    return center, whitener, (means - center) @ whitener


def _ledoit_wolf(residuals: FloatArray, weights: FloatArray) -> FloatArray:
    """Covariance (d, d) of centred rows (n, d) with weights (n,), shrunk towards a multiple of the identity.

    Ledoit and Wolf 2004, equations 10 to 14, with sum |x x' - S|^2 = sum |x|^4 - n |S|^2.
    """
    n, d = weights.sum(), residuals.shape[1]
    covariance: FloatArray = (residuals * weights[:, None]).T @ residuals / n
    mean_variance = np.trace(covariance) / d
    away = np.square(covariance).sum() - d * mean_variance**2
    fourth = weights @ np.square(np.square(residuals).sum(1))
    noise = (fourth / n - np.square(covariance).sum()) / n
    share = min(noise / away, 1.0) if away > 0 else 1.0
    share = 1 - (1 - share) * (1 - _SHRINKAGE)
    covariance *= 1 - share
    covariance[np.diag_indices(d)] += share * mean_variance
    return covariance


def _logistic(white: FloatArray, codes: npt.NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Coefficients (k, d) and intercepts (k,) of a penalised logistic regression on whitened rows (n, d)."""
    fitted = LogisticRegression(C=_C, class_weight="balanced", tol=1e-3, max_iter=1000).fit(white, codes)
    coef, intercept = fitted.coef_, fitted.intercept_
    if len(coef) == 1:  # of two classes it knows only the difference
        coef, intercept = np.vstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    return coef, intercept


def _angles(white: FloatArray, means: FloatArray) -> FloatArray:
    """Smallest angle (n,) in radians between a row and a class mean, seen from the center; at the center pi / 2."""
    products = white @ means.T
    lengths = np.sqrt(np.einsum("nd,nd->n", white, white)[:, None] * np.square(means).sum(1))
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    angles: FloatArray = np.arccos(np.clip(cosines.max(1), -1, 1))
    return angles


def _upper_bound(values: FloatArray, coverage: float) -> float:
    """Value not exceeded by this share of new ones like `values` (n,); pi without any.

    The one of rank ceil((n + 1) coverage), as in split conformal prediction (Vovk et al. 2005); for fewer than 19
    values and 0.95 the largest, which covers a bit less.
    """
    if not len(values):
        return np.pi
    rank = min(int(np.ceil((len(values) + 1) * coverage)), len(values))
    return float(np.sort(values)[rank - 1])


def temperature(logits: FloatArray, codes: npt.NDArray[np.intp]) -> float:
    """Temperature, between 1/100 and 100, of least log loss on out-of-fold logits (n, k).

    A weak prior around 1, worth about one label, keeps it finite when nothing is confused.
    """

    def loss(log_temperature: float) -> float:
        log_proba = log_softmax(logits * np.exp(-log_temperature), axis=1)
        return float(log_temperature**2 / 2 - log_proba[np.arange(len(codes)), codes].sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-_MAX_CHANGE, _MAX_CHANGE)).x))
