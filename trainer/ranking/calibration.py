"""The calibration of ranking scores to probabilities on the validation lists, and the errors before and after it."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from typing import Literal

import numpy as np
import tensorflow as tf

from core import progress
from core.errors import ModelError
from core.metrics.probabilities import calibration_error, log_loss

Kind = Literal["none", "platt", "isotonic"]


class Sigmoid(tf.Module):
    """The map from a score to the probability sigmoid(slope · score + offset).

    Source: Platt, "Probabilistic outputs for support vector machines", 1999, eq. 1. Slope 1 and offset 0 give the
    probability without calibration, which is the probability that the pointwise loss is computed with.
    """

    def __init__(self, slope: float = 1.0, offset: float = 0.0):
        super().__init__()
        self.slope, self.offset = slope, offset

    def __call__(self, scores: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(self.slope * scores + self.offset)


class Steps(tf.Module):
    """The piecewise linear map through given points (score, probability), constant below the first and above the last.

    Args:
      scores, probabilities: the coordinates of the points, in ascending order of the scores.
    """

    def __init__(self, scores: np.ndarray, probabilities: np.ndarray):
        super().__init__()
        self.x, self.y = scores.astype(np.float32), probabilities.astype(np.float32)

    def __call__(self, scores: tf.Tensor) -> tf.Tensor:
        inside = tf.clip_by_value(scores, self.x[0], self.x[-1])
        right = tf.searchsorted(self.x, tf.reshape(inside, [-1]), side="right")
        right = tf.reshape(tf.minimum(right, len(self.x) - 1), tf.shape(scores))
        left = tf.maximum(right - 1, 0)
        x0, x1, y0, y1 = (tf.gather(values, index) for values in (self.x, self.y) for index in (left, right))
        return y0 + (y1 - y0) * tf.clip_by_value(tf.math.divide_no_nan(inside - x0, x1 - x0), 0.0, 1.0)


def fit(
    kind: Kind, scores: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[Sigmoid | Steps, dict[str, object]]:
    """Return the map from scores to probabilities, and log loss and expected calibration error before and after it.

    The errors after calibration are measured on each half of the lists with a map fitted on the other half. They are
    None where the candidates of a half are all relevant or all not relevant.

    Args:
      kind: none, platt or isotonic.
      scores, labels, weights: [Q, C] each, of all validation lists. Without the lists that have no relevant candidate
        the probabilities would be too high. Weight 0 marks padding.
    Raises:
      ModelError: `kind` is not `none`, and all candidates are relevant or none is.
    """
    filled = weights > 0
    half = np.broadcast_to(np.arange(len(scores))[:, np.newaxis] % 2, scores.shape)[filled]
    flat, relevant = scores[filled].astype(np.float64), labels[filled] > 0
    if kind == "none":
        return Sigmoid(), {"calibration": kind, "before": _errors(relevant, _probabilities(Sigmoid(), flat))}
    if len(np.unique(relevant)) < 2:
        raise ModelError(
            f"calibration {kind!r} should have relevant and other candidates in the validation lists; found "
            f"{len(scores):,} lists with {relevant.sum():,} relevant of {len(relevant):,} candidates. Enlarge "
            "`split.eval`, or set `ranking.params.calibration: none`."
        )
    before = _errors(relevant, _probabilities(Sigmoid(), flat))
    if any(len(np.unique(relevant[half == each])) < 2 for each in (0, 1)):
        return _fitted(kind, flat, relevant), {"calibration": kind, "before": before, "after": None}
    probabilities = np.empty(len(flat))
    for each in (0, 1):
        fitted = _fitted(kind, flat[half != each], relevant[half != each])
        probabilities[half == each] = _probabilities(fitted, flat[half == each])
    after = _errors(relevant, probabilities)
    progress.report(
        f"calibration error {before['calibration_error']:.4f} before {kind}, {after['calibration_error']:.4f} after"
    )
    return _fitted(kind, flat, relevant), {"calibration": kind, "before": before, "after": after}


def _fitted(kind: Kind, scores: np.ndarray, relevant: np.ndarray) -> Sigmoid | Steps:
    """Return the map of `kind` fitted on the scores and the relevance of candidates, [n] each."""
    if kind == "platt":
        from sklearn.linear_model import LogisticRegression

        line = LogisticRegression(penalty=None).fit(scores[:, np.newaxis], relevant)
        return Sigmoid(float(line.coef_[0, 0]), float(line.intercept_[0]))
    from sklearn.isotonic import IsotonicRegression

    # A finite number of candidates does not justify a probability of 0 or 1.
    least = 1 / (len(scores) + 2)
    steps = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(scores, relevant)
    return Steps(steps.X_thresholds_, steps.y_thresholds_)


def _errors(relevant: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return log loss and expected calibration error."""
    return {
        "log_loss": log_loss(relevant, probabilities),
        "calibration_error": calibration_error(relevant, probabilities),
    }


def _probabilities(probability: Sigmoid | Steps, scores: np.ndarray) -> np.ndarray:
    """Return the probabilities of scores as an array."""
    return probability(tf.constant(scores, tf.float32)).numpy()
