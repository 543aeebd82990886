"""Log loss, calibration error and AUC of scores, compared with scikit-learn and with loops, and their properties."""

import math

import numpy as np
import pytest
import sklearn.metrics
from facts import facts
from hypothesis import given, settings
from hypothesis import strategies as st

from core.metrics import probabilities

ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, 0.999, 1.0]), st.integers(0, 3)), min_size=1
)
THOROUGH = settings(deadline=None, max_examples=150)


def columns(rows):
    labels, scores, groups = zip(*rows, strict=True)
    return np.array(labels), np.array(scores), np.array(groups)


@THOROUGH
@given(ROWS)
def test_log_loss_is_scikit_learn_s(rows):
    labels, p, _ = columns(rows)
    clipped = np.clip(p, 1e-15, 1 - 1e-15)
    assert probabilities.log_loss(labels, p) == pytest.approx(
        sklearn.metrics.log_loss(labels, clipped, labels=[False, True])
    )


@THOROUGH
@given(ROWS)
def test_auc_is_scikit_learn_s(rows):
    labels, scores, _ = columns(rows)
    expected = sklearn.metrics.roc_auc_score(labels, scores) if 0 < labels.sum() < len(labels) else math.nan
    assert probabilities.roc_auc(labels, scores) == pytest.approx(expected, nan_ok=True)


@THOROUGH
@given(ROWS, st.randoms(use_true_random=False))
def test_grouped_auc_is_the_weighted_mean_of_the_groups(rows, random):
    labels, scores, groups = columns(rows)
    summed = weight = 0.0
    for group in set(groups):
        mine = groups == group
        ones = labels[mine].sum()
        if 0 < ones < mine.sum():
            summed += ones * sklearn.metrics.roc_auc_score(labels[mine], scores[mine])
            weight += ones
    expected = summed / weight if weight else math.nan
    found = probabilities.grouped_roc_auc(labels, scores, groups)
    assert found == pytest.approx(expected, nan_ok=True)
    order = np.array(random.sample(range(len(rows)), len(rows)))
    named = np.array([f"user {group}" for group in groups])
    again = probabilities.grouped_roc_auc(labels[order], scores[order], named[order])
    assert again == pytest.approx(found, nan_ok=True)


@THOROUGH
@given(ROWS, st.integers(1, 12))
def test_calibration_error_is_what_a_loop_over_the_bins_says(rows, bins):
    labels, p, _ = columns(rows)
    error = 0.0
    for place in range(bins):
        mine = [
            (label, value) for label, value in zip(labels, p, strict=True) if min(int(value * bins), bins - 1) == place
        ]
        if mine:
            observed, predicted = (sum(part) / len(mine) for part in zip(*mine, strict=True))
            error += len(mine) / len(rows) * abs(observed - predicted)
    assert probabilities.calibration_error(labels, p, bins) == pytest.approx(error, abs=1e-12)
    found = probabilities.reliability(labels, p, bins)
    assert found.rows.sum() == len(rows)
    assert np.average(found.observed, weights=found.rows) == pytest.approx(labels.mean())
    assert np.average(found.predicted, weights=found.rows) == pytest.approx(p.mean())
    assert (found.rows > 0).all()


def test_calibration_by_hand():
    labels = np.array([1, 0, 0, 1, 1, 1])
    p = np.array([0.3, 0.3, 0.3, 0.9, 0.9, 1.0])
    found = probabilities.reliability(labels, p)
    assert found.predicted == pytest.approx([0.3, 2.8 / 3])
    assert found.observed == pytest.approx([1 / 3, 1])
    assert probabilities.calibration_error(labels, p) == pytest.approx((0.1 / 3 + 0.2 / 3) / 2)
    # A probability that equals the share of relevant items has no calibration error.
    assert probabilities.calibration_error(np.array([1, 0, 0, 0]), np.full(4, 0.25)) == 0


def test_a_wrong_certainty_costs_much_but_not_all():
    assert probabilities.log_loss(np.array([1]), np.array([0.0])) == pytest.approx(15 * math.log(10))


def test_nothing_has_no_value():
    none = np.zeros(0)
    assert math.isnan(probabilities.log_loss(none, none))
    assert math.isnan(probabilities.calibration_error(none, none))
    assert math.isnan(probabilities.roc_auc(none, none))
    assert math.isnan(probabilities.grouped_roc_auc(none, none, none))


@pytest.mark.parametrize(
    ("labels", "p", "message"),
    [
        ([2], [0.5], "labels … found 2"),
        ([1], [1.5], "probabilities … [0, 1] … found 1.5"),
        ([1], [math.nan], "found nan"),
        ([1, 0], [0.5], "one shape"),
    ],
)
def test_wrong_use(labels, p, message):
    for metric in (probabilities.log_loss, probabilities.calibration_error):
        with pytest.raises(ValueError, match=facts(message)):
            metric(np.array(labels), np.array(p))


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="found NaN"):
        probabilities.roc_auc(np.array([1, 0]), np.array([math.nan, 0.1]))
    with pytest.raises(ValueError, match="one shape"):
        probabilities.roc_auc(np.array([1, 0]), np.array([0.1]))
