"""The losses of the ranking networks, compared with values computed by hand and with loops over pairs in NumPy."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math

import numpy as np
import pytest
import tensorflow as tf

from trainer.ranking.losses import LOSSES, MU, TEMPERATURE


def loss(name, scores, labels, weights=None):
    scores, labels = np.atleast_2d(scores), np.atleast_2d(labels)
    weights = np.ones_like(labels, dtype=float) if weights is None else np.atleast_2d(weights)
    return float(LOSSES[name](*(tf.constant(values, tf.float32) for values in (scores, labels, weights))))


@pytest.fixture(scope="module")
def lists():
    """Return scores, labels and weights of six lists of nine candidates; some are padded, one has no relevant item."""
    rng = np.random.default_rng(3)
    scores, labels = rng.normal(size=(6, 9)), (rng.random((6, 9)) < 0.3).astype(float)
    weights = np.ones((6, 9))
    weights[::2, 6:], labels[5] = 0, 0
    return scores, labels * weights, weights


def listed(scores, labels, weights):
    """Yield the scores and labels of each list without padding."""
    for row in range(len(scores)):
        filled = weights[row] > 0
        yield scores[row][filled], labels[row][filled]


def discount(place):
    return 1 / math.log2(1 + place)


def gains_of(labels):
    best = sum((2**label - 1) * discount(place) for place, label in enumerate(sorted(labels, reverse=True), 1))
    return [(2**label - 1) / best if best else 0.0 for label in labels]


# ---- by hand ----


def test_by_hand():
    """The losses of two candidates with scores ln 3 and 0, of which the second is relevant."""
    scores, labels = [math.log(3), 0.0], [0, 1]
    assert loss("pointwise", scores, labels) == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-5)
    assert loss("pairwise", scores, labels) == pytest.approx(math.log(4), rel=1e-5)
    assert loss("softmax", scores, labels) == pytest.approx(math.log(4), rel=1e-5)
    # In lambda loss ρ = δ = 1 - 1/log2(3), the gain is 1, and log2(1 + 3) = 2.
    assert loss("lambda", scores, labels) == pytest.approx((1 + MU) * (1 - 1 / math.log2(3)) * 2, rel=1e-5)
    place = 1 + 1 / (1 + math.exp(-math.log(3) / TEMPERATURE))
    assert loss("approx_ndcg", scores, labels) == pytest.approx(1 - discount(place), rel=1e-5)


# ---- compared with loops ----


def test_pairwise_against_a_loop(lists):
    expected = []
    for scores, labels in listed(*lists):
        pairs = [(i, j) for i in range(len(labels)) for j in range(len(labels)) if labels[i] > labels[j]]
        found = [math.log(1 + math.exp(scores[j] - scores[i])) for i, j in pairs]
        expected.append(np.mean(found) if found else 0.0)
    assert loss("pairwise", *lists) == pytest.approx(np.mean(expected), rel=1e-5)


def test_pointwise_and_softmax_against_a_loop(lists):
    crosses, shares = [], []
    for scores, labels in listed(*lists):
        p = 1 / (1 + np.exp(-scores))
        crosses += list(-np.where(labels > 0, np.log(p), np.log(1 - p)))
        log_softmax = scores - np.log(np.exp(scores).sum())
        shares.append(-(labels / labels.sum() * log_softmax).sum() if labels.any() else 0.0)
    assert loss("pointwise", *lists) == pytest.approx(np.mean(crosses), rel=1e-5)
    assert loss("softmax", *lists) == pytest.approx(np.mean(shares), rel=1e-5)


def test_lambda_against_a_loop(lists):
    expected = []
    for scores, labels in listed(*lists):
        places = {int(i): place for place, i in enumerate(np.argsort(-scores), 1)}
        gains, total = gains_of(labels), 0.0
        for i in range(len(labels)):
            for j in range(len(labels)):
                if labels[i] <= labels[j]:
                    continue
                apart = abs(places[i] - places[j])
                rho = abs(discount(places[i]) - discount(places[j]))
                delta = abs(discount(apart) - discount(apart + 1))
                total += (rho + MU * delta) * abs(gains[i] - gains[j]) * math.log2(1 + math.exp(scores[j] - scores[i]))
        expected.append(total)
    assert loss("lambda", *lists) == pytest.approx(np.mean(expected), rel=1e-5)


def test_approximate_ndcg_against_a_loop(lists):
    expected = []
    for scores, labels in listed(*lists):
        places = [
            1 + sum(1 / (1 + math.exp((scores[i] - scores[j]) / TEMPERATURE)) for j in range(len(labels)) if j != i)
            for i in range(len(labels))
        ]
        expected.append(1 - sum(gain * discount(place) for gain, place in zip(gains_of(labels), places, strict=True)))
    assert loss("approx_ndcg", *lists) == pytest.approx(np.mean(expected), rel=1e-5)


# ---- all losses ----


@pytest.mark.parametrize("name", LOSSES)
def test_what_weighs_little_has_little_say(name, lists):
    scores, labels, weights = lists
    right = (labels > 0) & (np.arange(9) > 3)
    assert right.any()
    light, half = (loss(name, scores, labels, np.where(right, value, weights)) for value in (1e-6, 0.5))
    whole = loss(name, *lists)
    assert light != pytest.approx(whole, rel=1e-3)
    assert min(light, whole) < half < max(light, whole)


@pytest.mark.parametrize("name", LOSSES)
def test_padding_counts_for_nothing(name, lists):
    scores, labels, weights = lists
    changed = np.where(weights > 0, scores, 50.0)
    assert loss(name, changed, labels, weights) == pytest.approx(loss(name, scores, labels, weights), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_raises_what_is_right_and_lowers_what_is_wrong(name, lists):
    scores, labels, weights = (tf.constant(values, tf.float32) for values in lists)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = LOSSES[name](scores, labels, weights)
    gradient = tape.gradient(value, scores).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[lists[2] == 0] == 0).all()
    assert gradient[lists[1] > 0].sum() < 0
    assert gradient[lists[1] == 0].sum() > 0
