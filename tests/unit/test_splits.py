"""The split of an event, compared with values found by hand and with oracles in plain Python."""

import numpy as np
import pytest
from facts import lacking
from hypothesis import given, settings
from hypothesis import strategies as st

from components.event_joiner import join, splits
from core.errors import DataError

SHARES = st.sampled_from([(0.1, 0.1), (0.2, 0.1), (0.15, 0.05), (1 / 3, 1 / 3), (0.5, 0.25)])
SIZES = st.lists(st.integers(1, 30), max_size=6)


def grouped(sizes):
    """Return the start and number of each user's events, and their seconds; each event has a different second."""
    starts, counts = join.runs(np.repeat(np.arange(len(sizes)), sizes))
    return starts, counts, np.arange(len(starts))


def by_second(users):
    """Return the same as `grouped` for users with the given numbers of events in each of their seconds."""
    starts, counts = join.runs(np.repeat(np.arange(len(users)), [sum(each) for each in users]))
    return starts, counts, join.runs(np.repeat(np.arange(sum(map(len, users))), [n for each in users for n in each]))[0]


# ---- one cut in time ----


def test_shares_of_a_hundred_events():
    times = np.arange(100)
    split = splits.temporal(times, splits.cuts(times, 0.1, 0.1))
    assert np.bincount(split).tolist() == [80, 10, 10]
    assert (np.diff(split) >= 0).all()


def test_a_share_that_binary_fractions_miss_is_cut_where_it_says():
    # In floating point 1 - 0.2 - 0.1 is 0.7000000000000001.
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
def test_shares_are_exact_to_one_event(times, shares):
    times = np.array(times)
    split = splits.temporal(times, splits.cuts(times, *shares))
    for index, share in ((1, shares[0]), (2, shares[1])):
        assert abs((split == index).sum() - share * len(times)) <= 1


# ---- by user ----


def test_the_last_share_of_each_user_s_events():
    events = grouped([10, 3, 1])
    assert splits.temporal_per_user(*events, 0.1, 0.1).tolist() == [0] * 8 + [1, 2] + [0, 0, 0] + [0]
    assert splits.temporal_per_user(*events, 0.2, 0.1).tolist() == [0] * 7 + [1, 1, 2] + [0, 0, 0] + [0]


def test_a_second_has_the_split_of_its_last_event():
    # By the shares, of the positions 0 to 9 of the events, eval is 8 and test is 9.
    assert splits.temporal_per_user(*by_second([[7, 3]]), 0.1, 0.1).tolist() == [0] * 7 + [2] * 3
    assert splits.temporal_per_user(*by_second([[6, 3, 1]]), 0.1, 0.1).tolist() == [0] * 6 + [1] * 3 + [2]
    assert splits.temporal_per_user(*by_second([[6, 2, 2]]), 0.1, 0.1).tolist() == [0] * 8 + [2] * 2


def test_the_first_second_of_a_user_is_train():
    assert splits.temporal_per_user(*by_second([[9, 1], [10]]), 0.1, 0.1).tolist() == [0] * 9 + [2] + [0] * 10


def test_of_the_last_two_seconds_one_event_each_is_kept():
    assert splits.leave_one_out(*by_second([[2, 3, 2]])).tolist() == [0, 0, -1, -1, 1, -1, 2]
    assert splits.leave_one_out(*by_second([[2, 3]])).tolist() == [0, 0, -1, -1, 2]
    assert splits.leave_one_out(*by_second([[4], [1, 1, 1], [3]])).tolist() == [0] * 4 + [0, 1, 2] + [0] * 3
    assert splits.leave_one_out(*by_second([])).tolist() == []


@settings(max_examples=200, deadline=None)
@given(SIZES, SHARES)
def test_per_user_shares_are_what_the_oracle_says(sizes, shares):
    expected = []
    for size in sizes:
        for place in range(size):
            quantile = place / size
            in_test, in_eval = quantile >= round(1 - shares[1], 9), quantile >= round(1 - sum(shares), 9)
            expected.append(2 if in_test else int(in_eval))
    assert splits.temporal_per_user(*grouped(sizes), *shares).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(SIZES)
def test_leave_one_out_is_what_the_oracle_says(sizes):
    expected = []
    for size in sizes:
        expected += {1: [0], 2: [0, 2]}.get(size, [0] * (size - 2) + [1, 2])
    assert splits.leave_one_out(*grouped(sizes)).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=6), max_size=5), SHARES)
def test_of_one_user_the_splits_follow_each_other_and_train_is_never_empty(users, shares):
    starts, counts, seconds = by_second(users)
    for split in (
        splits.temporal_per_user(starts, counts, seconds, *shares),
        splits.leave_one_out(starts, counts, seconds),
    ):
        for second in np.unique(seconds):
            assert len(set(split[seconds == second]) - {splits.LEFT_OUT}) == 1
        for start in np.unique(starts):
            mine = split[(starts == start) & (split != splits.LEFT_OUT)]
            assert mine[0] == 0
            assert (np.diff(mine) >= 0).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=6), max_size=5))
def test_leave_one_out_has_one_test_event_of_each_user_with_two_seconds(users):
    starts, counts, seconds = by_second(users)
    split = splits.leave_one_out(starts, counts, seconds)
    for start, each in zip(np.unique(starts), users, strict=True):
        mine = split[starts == start]
        assert (mine == 2).sum() == (len(each) > 1)
        assert (mine == 1).sum() == (len(each) > 2)
        left_out = (each[-1] - 1 if len(each) > 1 else 0) + (each[-2] - 1 if len(each) > 2 else 0)
        assert (mine == splits.LEFT_OUT).sum() == left_out


# ---- empty splits ----


def test_an_empty_split_is_refused_with_the_counts():
    splits.check_none_empty({"train": 8, "eval": 1, "test": 1}, "temporal")
    with pytest.raises(DataError) as caught:
        splits.check_none_empty({"train": 1200, "eval": 0}, "temporal")
    assert str(caught.value).startswith("interactions: ")
    assert lacking(str(caught.value), "split `temporal` … train 1,200, eval 0, test 0") == []
    assert "split.method" in caught.value.todo
