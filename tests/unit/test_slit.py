"""SLIT compared with ridge regression on rows of histories and targets that are written out one by one."""

import math

import numpy as np
import pyarrow as pa
import pytest
from facts import facts
from hypothesis import given, settings
from hypothesis import strategies as st

from core import names
from core.errors import ModelError
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.interactions import by_user_and_time
from trainer.retrieval.linear import slit
from trainer.retrieval.linear.settings import SLITSettings
from transform.features import Features


def data(users, items, timestamps, n_items=None, history_length=50):
    catalogue = pa.table({names.ITEM_ID: [f"i{row}" for row in range(n_items or max(items, default=0) + 1)]})
    return RetrievalData(
        features=Features(history_length=history_length),
        catalogue=catalogue,
        users=pa.array([f"u{user}" for user in users], pa.string()),
        items=np.array(items, np.int32),
        timestamps=np.array(timestamps, np.int64),
    )


def table(model):
    """Return the kept weights as a dense [N, N] matrix."""
    columns = model.neighbours.numpy()
    found = np.zeros((len(columns), len(columns)))
    np.add.at(found, (np.arange(len(columns))[:, np.newaxis], columns), model.weights.numpy())
    return found


def rows(of_users, n_items, half_life, horizon, reach):
    """Return S and T with a row for each history of each user, events oldest first."""
    before, after = [np.zeros((0, n_items))], [np.zeros((0, n_items))]
    for events in of_users:
        for now in range(1, len(events)):
            history, target = np.zeros((2, 1, n_items))
            for age, item in enumerate(reversed(events[max(0, now - reach) : now])):
                history[0, item] += 1 if half_life is None else 0.5 ** (age / half_life)
            for item in events[now : now + horizon]:
                target[0, item] += 1
            before.append(history)
            after.append(target)
    return np.concatenate(before), np.concatenate(after)


def drawn_events(seed):
    """Return the users, items and distinct times of some events in any order, and the items of each user by time."""
    random = np.random.default_rng(seed)
    count = random.integers(1, 30)
    users, items, times = random.integers(0, 3, count), random.integers(0, 6, count), random.permutation(count)
    order = np.argsort(times)
    return users, items, times, [items[order][users[order] == user].tolist() for user in range(3)]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([None, 0.5, 1.0, 4.0]),
    st.integers(1, 5),
    st.integers(1, 6),
    st.sampled_from([0.1, 3.0]),
)
def test_the_weights_are_those_of_ridge_regression_of_what_follows(seed, half_life, horizon, length, l2):
    users, items, times, of_users = drawn_events(seed)
    chosen = SLITSettings(half_life=half_life, horizon=horizon, l2=l2)
    found = table(slit.fit(chosen, data(users, items, times, 6, length), 0))
    reach = length if half_life is None else min(length, math.ceil(10 * half_life))
    before, after = rows(of_users, 6, half_life, horizon, reach)
    gram = before.T @ before
    penalty = l2 * np.trace(gram) / max(1, len(set(items.tolist())))
    expected = np.linalg.pinv(gram + penalty * np.eye(6)) @ before.T @ after
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_what_follows_is_predicted_and_what_precedes_is_not():
    events = [0, 1, 2] * 4
    model = slit.fit(SLITSettings(half_life=1.0, horizon=1), data([0] * 12, events, range(12)), 0)
    found = table(model)
    assert found.argmax(axis=1).tolist() == [1, 2, 0]
    assert model.half_life == 1.0


def test_events_of_one_second_keep_their_order():
    order, later = by_user_and_time(pa.array(["b", "a", "b", "a", "b"]), np.array([5, 9, 5, 8, 4]))
    assert order.tolist() == [4, 0, 2, 3, 1]  # users in the order of their first events
    assert later.tolist() == [2, 1, 0, 1, 0]


def test_the_largest_weights_are_kept():
    users, items, times, _ = drawn_events(7)
    every = slit.fit(SLITSettings(), data(users, items, times, 6), 0)
    few = slit.fit(SLITSettings(neighbours=2), data(users, items, times, 6), 0)
    assert few.neighbours.shape == few.weights.shape == (6, 2)
    whole = table(every)
    least = -np.sort(-np.abs(whole), axis=1)[:, 1:2]
    np.testing.assert_allclose(table(few), np.where(np.abs(whole) >= least, whole, 0))


def test_the_same_data_twice_over_has_the_same_weights():
    users, items, times, _ = drawn_events(3)
    once = slit.fit(SLITSettings(), data(users, items, times, 6), 0)
    twice = slit.fit(SLITSettings(), data([*users, *(users + 3)], [*items, *items], [*times, *times], 6), 0)
    np.testing.assert_allclose(table(twice), table(once), atol=1e-5)


@pytest.mark.parametrize(
    ("users", "items"), [([], []), ([0], [2]), ([0, 1, 2], [2, 1, 0])], ids=["nothing", "one event", "one each"]
)
def test_without_a_second_event_of_a_user_nothing_is_predicted(users, items):
    model = slit.fit(SLITSettings(), data(users, items, [4] * len(items), 3), 0)
    assert model.neighbours.shape == (3, len(items))
    assert not model.weights.numpy().any()


def test_an_item_alone_predicts_itself():
    model = slit.fit(SLITSettings(l2=1.0, horizon=1, half_life=1.0), data([0, 0], [0, 0], [1, 1]), 0)
    np.testing.assert_allclose(table(model), [[0.5]])


def test_too_many_items_are_refused_with_the_figures():
    with pytest.raises(ModelError, match=facts("slit … 3,000 items … 0.1 GB … memory_gb … 0.01")):
        slit.fit(SLITSettings(memory_gb=0.01), data([0] * 3000, range(3000), range(3000)), 0)
