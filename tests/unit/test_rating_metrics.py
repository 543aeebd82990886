"""Metrics of predicted ratings, compared with values computed by hand and scikit-learn, and without any rating."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from core import rating_metrics
from core.rating_metrics import mae, r2, rmse

HALVES = st.integers(1, 10).map(lambda n: n / 2)
RATINGS = hnp.arrays(
    np.float64, st.shared(st.integers(2, 30), key="n"), elements=st.integers(1, 10).map(lambda x: x / 2)
)


def test_by_hand():
    predicted, actual = np.array([1.0, 2.0, 5.0]), np.array([2.0, 2.0, 3.0])
    assert mae(predicted, actual) == pytest.approx(1.0)
    assert rmse(predicted, actual) == pytest.approx(math.sqrt(5 / 3))
    # The mean of the actual ratings is 7/3, and the sum of the squared deviations from it 2/3.
    assert r2(predicted, actual) == pytest.approx(1 - 5 / (2 / 3))


@given(RATINGS, RATINGS)
def test_as_scikit_learn(predicted, actual):
    assert mae(predicted, actual) == pytest.approx(mean_absolute_error(actual, predicted))
    assert rmse(predicted, actual) == pytest.approx(math.sqrt(mean_squared_error(actual, predicted)))
    if len(set(actual)) > 1:
        assert r2(predicted, actual) == pytest.approx(r2_score(actual, predicted))
    assert mae(predicted, actual) <= rmse(predicted, actual) + 1e-12


def test_the_actual_ratings_are_perfect_and_their_mean_explains_nothing():
    actual = np.array([1.0, 4.0, 5.0, 5.0])
    assert (mae(actual, actual), rmse(actual, actual), r2(actual, actual)) == (0.0, 0.0, 1.0)
    assert r2(np.full(4, actual.mean()), actual) == pytest.approx(0.0)


def test_single_precision_is_summed_in_double():
    """A float32 sum of ten million errors would stop growing, because each error is below its precision."""
    actual = np.zeros(10_000_000, np.float32)
    assert mae(actual + np.float32(0.1), actual) == pytest.approx(float(np.float32(0.1)), rel=1e-9)


@pytest.mark.parametrize("metric", rating_metrics.RATING.values())
def test_nothing_to_measure_is_nan_and_shapes_must_fit(metric):
    assert math.isnan(metric(np.zeros(0), np.zeros(0)))
    with pytest.raises(ValueError, match=r"both be \[E\]"):
        metric(np.zeros(3), np.zeros(2))


def test_ratings_that_do_not_vary_have_no_r2():
    assert math.isnan(r2(np.array([3.0, 4.0]), np.array([3.0, 3.0])))
