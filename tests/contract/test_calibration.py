"""The calibration of a ranker's scores to probabilities of relevance."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pytest
import tensorflow as tf

from core.errors import ModelError
from trainer.ranking import calibration


def lists(count, slope, offset, seed=0):
    """Return lists of scores, labels that are 1 with probability sigmoid(slope · score + offset), and weights."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2, (count, 20)).astype(np.float32)
    labels = rng.random(scores.shape) < 1 / (1 + np.exp(-(slope * scores + offset)))
    return scores, labels.astype(np.float32), np.ones_like(scores)


def test_platt_finds_the_line_that_the_labels_were_drawn_from():
    probability, log = calibration.fit("platt", *lists(2000, 0.5, -1.0))
    assert probability.slope == pytest.approx(0.5, abs=0.03)
    assert probability.offset == pytest.approx(-1, abs=0.05)
    assert log["after"]["calibration_error"] < 0.01 < 0.1 < log["before"]["calibration_error"]


def test_isotonic_is_what_numpy_interpolates_and_never_certain():
    scores, labels, weights = lists(200, 1.0, 0.0)
    probability, log = calibration.fit("isotonic", scores, labels, weights)
    inputs = np.float32([-100, -1.37, 0, 0.5, probability.x[3], 100])
    found = probability(tf.constant(inputs)).numpy()
    np.testing.assert_allclose(found, np.interp(inputs, probability.x, probability.y), atol=1e-6)
    assert 0 < found.min() < found.max() < 1
    assert log["after"]["calibration_error"] < 0.05


def test_padding_has_no_say_in_calibration():
    scores, labels, weights = lists(200, 0.5, -1.0)
    padded = [np.pad(values, ((0, 0), (0, 5)), constant_values=fill) for values, fill in ((scores, 9), (labels, 0))]
    probability, _ = calibration.fit("platt", *padded, np.pad(weights, ((0, 0), (0, 5))))
    assert probability.slope == pytest.approx(calibration.fit("platt", scores, labels, weights)[0].slope)


def test_a_half_without_relevant_candidates_leaves_the_error_unmeasured():
    scores, labels, weights = lists(1, 1.0, 0.0)
    probability, errors = calibration.fit("platt", scores, labels, weights)
    assert errors["after"] is None
    assert np.isfinite(probability.slope)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_candidates_that_are_all_alike_cannot_be_calibrated(label):
    scores, labels, weights = lists(3, 1.0, 0.0)
    with pytest.raises(ModelError, match=r"3 lists.*calibration: none"):
        calibration.fit("platt", scores, np.full_like(labels, label), weights)


def test_lists_without_a_relevant_candidate_lower_the_probabilities():
    scores, labels, weights = lists(400, 1.0, -3.0)
    every, _ = calibration.fit("platt", scores, labels, weights)
    some = labels.any(axis=1)
    without, _ = calibration.fit("platt", scores[some], labels[some], weights[some])
    mean = every(tf.constant(scores)).numpy().mean()
    assert mean == pytest.approx(labels.mean(), rel=1e-3)
    assert without(tf.constant(scores)).numpy().mean() > 1.02 * mean
