"""Which split an event belongs to, by hand and against oracles in plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.event_joiner import join, splits
from core.errors import DataError

SHARES = st.sampled_from([(0.1, 0.1), (0.2, 0.1), (0.15, 0.05), (1 / 3, 1 / 3), (0.5, 0.25)])
SIZES = st.lists(st.integers(1, 30), max_size=6)


def grouped(sizes):
    """The starts and counts of events grouped by users of these sizes."""
    return join.runs(np.repeat(np.arange(len(sizes)), sizes))


# ---- one cut in time ----


def test_shares_of_a_hundred_events():
    times = np.arange(100)
    split = splits.temporal(times, splits.cuts(times, 0.1, 0.1))
    assert np.bincount(split).tolist() == [80, 10, 10]
    assert (np.diff(split) >= 0).all()


def test_a_share_that_binary_fractions_miss_is_cut_where_it_says():
    # 1 - 0.2 - 0.1 is 0.7000000000000001 to a computer.
    assert splits.cuts(np.arange(11), 0.2, 0.1) == (7, 9)


def test_events_of_one_second_fall_on_one_side():
    times = np.array([1, 2, 3, 4, 5, 5, 5, 5, 9, 9])
    cut = splits.cuts(times, 0.3, 0.2)
    split = splits.temporal(times, cut)
    assert split.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert [len(set(split[times == time])) for time in set(times)] == [1] * 6


def test_large_times_keep_their_second():
    times = np.array([2**53 + n for n in (1, 3, 5, 7)])
    assert splits.cuts(times, 0.25, 0.25) == (2**53 + 5, 2**53 + 7)


def test_no_events_have_a_cut_all_the_same():
    assert len(splits.temporal(np.zeros(0, np.int64), splits.cuts(np.zeros(0, np.int64), 0.1, 0.1))) == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200, unique=True), SHARES)
def test_shares_are_met_to_one_event(times, shares):
    times = np.array(times)
    split = splits.temporal(times, splits.cuts(times, *shares))
    for index, share in ((1, shares[0]), (2, shares[1])):
        assert abs((split == index).sum() - share * len(times)) <= 1


# ---- by user ----


def test_the_last_share_of_each_user_s_events():
    starts, counts = grouped([10, 3, 1])
    assert splits.temporal_per_user(starts, counts, 0.1, 0.1).tolist() == [0] * 8 + [1, 2] + [0, 0, 0] + [0]
    assert splits.temporal_per_user(starts, counts, 0.2, 0.1).tolist() == [0] * 7 + [1, 1, 2] + [0, 0, 0] + [0]


@settings(max_examples=200, deadline=None)
@given(SIZES, SHARES)
def test_per_user_shares_are_what_the_oracle_says(sizes, shares):
    starts, counts = grouped(sizes)
    expected = []
    for size in sizes:
        for place in range(size):
            quantile = place / size
            in_test, in_eval = quantile >= round(1 - shares[1], 9), quantile >= round(1 - sum(shares), 9)
            expected.append(2 if in_test else int(in_eval))
    assert splits.temporal_per_user(starts, counts, *shares).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(SIZES)
def test_leave_one_out_is_what_the_oracle_says(sizes):
    expected = []
    for size in sizes:
        expected += {1: [0], 2: [0, 2]}.get(size, [0] * (size - 2) + [1, 2])
    assert splits.leave_one_out(*grouped(sizes)).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(SIZES, SHARES)
def test_of_one_user_the_splits_follow_each_other_and_train_is_never_empty(sizes, shares):
    starts, counts = grouped(sizes)
    for split in (splits.temporal_per_user(starts, counts, *shares), splits.leave_one_out(starts, counts)):
        for start in np.unique(starts):
            mine = split[starts == start]
            assert mine[0] == 0
            assert (np.diff(mine) >= 0).all()


# ---- nothing may be empty ----


def test_an_empty_split_is_refused_with_the_counts():
    splits.check_none_empty({"train": 8, "eval": 1, "test": 1}, "temporal")
    with pytest.raises(DataError) as caught:
        splits.check_none_empty({"train": 1200, "eval": 0}, "temporal")
    assert str(caught.value).startswith(
        "interactions: split `temporal`: leaves eval and test empty (train 1,200, eval 0, test 0 events)"
    )
    assert "split.method" in caught.value.todo
