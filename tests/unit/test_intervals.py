"""Bootstrap intervals: coverage, determinism, missing values, paired differences, and memory."""

import tracemalloc

import numpy as np
import pytest
from facts import facts

from components.recommender_evaluator import intervals


def test_mean_and_width_are_those_of_the_normal_theory():
    values = np.random.default_rng(0).normal(3, 2, size=4000)
    found = intervals.of_means(values, 2000, 1)
    half = 1.96 * values.std() / np.sqrt(4000)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert found.queries == 4000


def test_covers_the_true_mean_about_19_times_in_20():
    # 1,000 experiments of 200 queries, one per column. The bounds are 95% ± 4 standard errors, with a lower minimum
    # because percentile intervals of skewed values cover too little.
    values = np.random.default_rng(1).exponential(1.0, size=(200, 1000))
    found = intervals.of_means(values, 500, 2)
    covered = ((found.low <= 1.0) & (found.high >= 1.0)).mean()
    assert 0.91 < covered < 0.975


def test_is_deterministic_under_a_seed_and_not_across_seeds():
    values = np.random.default_rng(0).random((50, 3))
    first, again, other = (intervals.of_means(values, 200, seed) for seed in (7, 7, 8))
    assert np.array_equal(first.low, again.low)
    assert np.array_equal(first.high, again.high)
    assert not np.array_equal(first.low, other.low)


def test_a_column_has_the_same_interval_alone_and_among_others():
    values = np.random.default_rng(0).random((60, 2, 3))
    together = intervals.of_means(values, 300, 5)
    assert together.mean.shape == (2, 3)
    alone = intervals.of_means(values[:, 1, 2], 300, 5)
    assert together.low[1, 2] == pytest.approx(float(alone.low), rel=1e-12)


def test_missing_values_are_left_out():
    values = np.random.default_rng(0).random(400)
    holed = np.concatenate([values, np.full(400, np.nan)])
    found, whole = intervals.of_means(holed, 2000, 3), intervals.of_means(values, 2000, 3)
    assert found.queries == 400
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(float(whole.low), abs=0.01)
    assert found.high == pytest.approx(float(whole.high), abs=0.01)


@pytest.mark.parametrize("values", [np.full(5, np.nan), np.empty(0)])
def test_without_values_there_is_no_interval(values):
    found = intervals.of_means(values, 100, 0)
    assert found.queries == 0
    assert np.isnan([found.mean, found.low, found.high]).all()


def test_one_value_alone_is_its_own_interval():
    found = intervals.of_means(np.array([np.nan, 0.25, np.nan, np.nan]), 100, 0)
    assert (found.mean, found.low, found.high, found.queries) == (0.25, 0.25, 0.25, 1)


def test_the_difference_of_a_vector_with_itself_is_exactly_zero():
    values = np.random.default_rng(0).random(100)
    values[3] = np.nan
    found = intervals.of_differences(values, values, 500, 1)
    assert (found.mean, found.low, found.high, found.queries) == (0, 0, 0, 99)


def test_pairing_sees_a_small_difference_that_the_single_intervals_do_not():
    rng = np.random.default_rng(0)
    easy_or_hard = rng.random(500)
    first, second = easy_or_hard + 0.01 + rng.normal(0, 0.02, 500), easy_or_hard
    singles = intervals.of_means(np.stack([first, second], axis=1), 1000, 1)
    assert singles.low[0] < singles.mean[1]
    paired = intervals.of_differences(first, second, 1000, 1)
    assert 0 < paired.low < 0.01 < paired.high + 0.002
    assert paired.mean == pytest.approx((first - second).mean())


def test_two_equal_models_differ_significantly_about_once_in_20():
    rng = np.random.default_rng(3)
    found = intervals.of_differences(rng.random((150, 600)), rng.random((150, 600)), 400, 4)
    wrong = ((found.low > 0) | (found.high < 0)).mean()
    assert 0.02 < wrong < 0.09


def test_paired_shapes_must_fit():
    with pytest.raises(ValueError, match=r"\[3\] and \[4\]"):
        intervals.of_differences(np.zeros(3), np.zeros(4), 100, 0)


def test_queries_of_one_user_are_drawn_together():
    rng = np.random.default_rng(0)
    users = rng.permutation(np.repeat(np.arange(100), 20))
    values = rng.random(100)[users]  # 20 equal queries per user carry no more information than one
    by_user, singly = intervals.of_means(values, 1000, 1, users), intervals.of_means(values, 1000, 1)
    of_users = intervals.of_means(values[np.unique(users, return_index=True)[1]], 1000, 1)
    assert by_user.queries == 2000
    assert by_user.mean == pytest.approx(values.mean())
    assert (by_user.low, by_user.high) == pytest.approx((float(of_users.low), float(of_users.high)))
    assert by_user.high - by_user.low > 3 * (singly.high - singly.low)


def test_users_with_many_queries_weigh_as_many():
    # A mean is over queries, not over users. User a has three queries with value 0, user b one query with value 1.
    found = intervals.of_means(np.array([0.0, 1, 0, np.nan, 0]), 500, 1, np.array(["a", "b", "a", "b", "a"]))
    assert (found.mean, found.low, found.high, found.queries) == (0.25, 0, 1, 4)


def test_each_query_its_own_user_is_the_plain_bootstrap():
    values = np.random.default_rng(0).random((40, 2))
    plain, own = intervals.of_means(values, 200, 1), intervals.of_means(values, 200, 1, np.arange(40))
    assert all(np.array_equal(first, second) for first, second in zip(plain, own, strict=True))
    with pytest.raises(ValueError, match=facts("[40] … [3]")):
        intervals.of_means(values, 200, 1, np.arange(3))


def test_memory_is_bounded():
    values = np.random.default_rng(0).random(10_000)
    tracemalloc.start()
    intervals.of_means(values, 1000, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6


# ---- weights ----


def test_weights_are_how_often_a_value_counts():
    rng = np.random.default_rng(0)
    values, weights = rng.random((40, 2)), rng.integers(0, 4, (40, 1))
    values[3, 0] = np.nan
    found = intervals.of_means(values, 200, 1, weights=weights)
    repeated = np.repeat(values, weights[:, 0], axis=0)
    assert found.mean == pytest.approx(np.nanmean(repeated, axis=0))
    # The same resamples of users, in which each value is repeated as often as its weight.
    users = np.repeat(np.arange(40), weights[:, 0] + 1)
    # A NaN row per user keeps users of weight 0 in the sampling.
    rows = [row for value, n in zip(values, weights[:, 0], strict=True) for row in (value * np.nan, *[value] * n)]
    same = intervals.of_means(np.array(rows), 200, 1, users=users)
    assert (found.low, found.high) == (pytest.approx(same.low), pytest.approx(same.high))
    assert found.queries.tolist() == [39, 40]
    once = intervals.of_means(values, 200, 1, weights=np.ones((40, 1)))
    for part, plain in zip(once, intervals.of_means(values, 200, 1), strict=True):
        assert part == pytest.approx(plain)


def test_differences_are_weighted_too_and_no_weight_is_no_value():
    first, second = np.array([0.2, 0.4]), np.array([0.1, 0.9])
    assert intervals.of_differences(first, second, 100, 1, weights=np.array([3, 1])).mean == pytest.approx(-0.05)
    none = intervals.of_means(first, 100, 1, weights=np.zeros(2))
    assert np.isnan([none.mean, none.low, none.high]).all()
