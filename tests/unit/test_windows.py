"""Windows of events before eval: one range of timestamps for all users, or one for each user."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import names
from core.errors import DataError
from core.windows import earlier_windows, windows_before


def events(users, times):
    return pa.table({names.USER_ID: pa.array(users, pa.string()), names.TIMESTAMP: pa.array(times, pa.int64())})


def test_a_window_in_time_is_as_long_as_eval():
    train = events(["a"] * 6, [0, 79, 80, 89, 90, 99])
    found = windows_before(train, events(["b", "a"], [100, 109]), 2, of_each_user=False)
    assert found.tolist() == [3, 3, 2, 2, 1, 1]


def test_a_window_of_a_user_has_as_many_events_as_they_have_in_eval():
    train = events(["a", "b", "a", "a", "b", "a", "c", "a"], [1, 1, 3, 2, 2, 4, 9, 5])
    found = windows_before(train, events(["a", "a", "b"], [6, 7, 8]), 1, of_each_user=True)
    assert found.tolist() == [2, 2, 2, 2, 1, 1, 2, 1]


def test_a_second_of_a_user_is_in_the_window_of_its_first_event():
    train = events(["a"] * 5, [1, 2, 2, 2, 3])
    found = windows_before(train, events(["a", "a"], [6, 7]), 2, of_each_user=True)
    assert found.tolist() == [3, 2, 2, 2, 1]


def test_windows_without_events_are_left_out():
    train = events(["a"] * 3, [0, 75, 76])
    [window] = earlier_windows(train, events(["b", "a"], [100, 109]), 3, of_each_user=False)
    assert window.number == 3
    assert window.known.tolist() == [True, False, False]
    assert window.target.tolist() == [False, True, True]
    assert earlier_windows(train, train, 0, of_each_user=False) == []


def test_train_that_is_all_in_the_windows_is_refused():
    with pytest.raises(DataError, match=r"Lower `ranking\.earlier_windows`"):
        windows_before(events(["a"], [99]), events(["a", "a"], [100, 109]), 1, of_each_user=False)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1), st.integers(1, 3), st.booleans())
def test_of_a_user_an_older_event_is_in_no_later_window(drawn, count, of_each_user):
    users, times = zip(*[*drawn, ("d", -1_000)], strict=True)
    found = windows_before(events(users, times), events(["a", "b"], [31, 40]), count, of_each_user)
    assert set(found) <= set(range(1, count + 2))
    for user in set(users):
        mine = np.array(users) == user
        order = np.argsort(np.array(times)[mine], kind="stable")
        assert (np.diff(found[mine][order]) <= 0).all()
        for time in set(np.array(times)[mine]):
            assert len(set(found[mine & (np.array(times) == time)])) == 1
