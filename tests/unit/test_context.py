"""The signals of a candidate that are computed from the timestamp and the history of the query."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pytest
import tensorflow as tf

from core import names
from core.times import DAY
from trainer.ranking import context
from trainer.ranking import signals as signal_names
from transform.features import Features

NOW = 20_000 * DAY + 6 * 3600


def signals(history, times, items, now=NOW, length=50):
    query = {
        names.QUERY_TIME: tf.constant([now] * len(history), tf.int64),
        names.HISTORY: tf.constant(history),
        names.HISTORY_TIME: tf.constant(times, tf.int64),
        names.ITEM_ID: tf.constant(items),
    }
    return {
        name: value.numpy()
        for name, value in context.signals(query | {"item_id": context.hashed(query["item_id"])}, length).items()
    }


def test_how_often_and_how_recently_each_candidate_is_in_the_history():
    found = signals([["a", "b", "a", ""]], [[NOW - 9 * DAY, NOW - 4 * DAY, NOW - 2 * DAY, 0]], [["a", "b", "c", ""]])
    np.testing.assert_array_equal(found[context.TIMES_IN_HISTORY], [[2, 1, 0, 0]])
    np.testing.assert_array_equal(found[context.EVENTS_SINCE_INTERACTION], [[0, 1, np.nan, np.nan]])
    np.testing.assert_allclose(found[context.DAYS_SINCE_INTERACTION], [[2, 4, np.nan, np.nan]])
    assert found[context.HISTORY_SIZE].tolist() == [[3, 3, 3, 3]]
    assert found[context.DAYS_SINCE_LAST_EVENT].tolist() == [[2, 2, 2, 2]]


def test_what_comes_back_at_intervals_falls_due():
    times = [NOW - days * DAY for days in (13, 9, 9, 5, 3)]
    found = signals([["a", "a", "b", "a", "b"]], [times], [["a", "b", "c"]])
    np.testing.assert_allclose(found[context.MEAN_DAYS_BETWEEN], [[4, 6, np.nan]])
    np.testing.assert_allclose(found[context.DUE_RATIO], [[5 / 4, 3 / 6, np.nan]])
    once, at_once = signals([["a", "b", "b"]], [[NOW - DAY] * 3], [["a", "b"]])[context.MEAN_DAYS_BETWEEN][0]
    assert np.isnan([once, at_once]).all()


def test_only_the_latest_of_a_history_count():
    found = signals([["a", "b", "c"]], [[0, 0, 0]], [["a", "c"]], length=2)
    np.testing.assert_array_equal(found[context.TIMES_IN_HISTORY], [[0, 1]])
    assert found[context.HISTORY_SIZE].tolist() == [[2, 2]]


def test_where_the_padding_stands_is_no_matter():
    left, right = (signals([h], [t], [["a"]]) for h, t in ((["", "a"], [0, NOW - DAY]), (["a", ""], [NOW - DAY, 0])))
    for name in signal_names.SIGNALS:
        np.testing.assert_array_equal(left[name], right[name])


def test_times_that_are_not_known_are_not_known():
    found = signals([["a", "b"]], [[0, 0]], [["a"]])
    assert np.isnan(found[context.DAYS_SINCE_INTERACTION]).all()
    assert np.isnan(found[context.DAYS_SINCE_LAST_EVENT]).all()
    assert found[context.TIMES_IN_HISTORY].tolist() == [[1]]


def test_the_hour_and_the_weekday_are_those_of_the_query():
    import datetime

    at = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    found = signals([[""]], [[0]], [["a"]])
    assert found[context.HOUR].item() == pytest.approx(at.hour + at.minute / 60)
    assert found[context.WEEKDAY].item() == at.weekday()


def test_an_age_is_days_before_the_query_for_each_candidate():
    features = Features.model_validate(
        {"user": {"joined": "timestamp", "age": "numeric"}, "item": {"made": "timestamp"}}
    )
    query = {
        names.QUERY_TIME: tf.constant([NOW, NOW + DAY], tf.int64),
        names.ITEM_ID: tf.constant([["a", "b", ""], ["a", "", ""]]),
        "joined": tf.constant([NOW - 400 * DAY, np.nan], tf.float32),
        "made": tf.constant([[NOW - 36 * 3600, NOW + 2 * DAY, np.nan], [NOW - 36 * 3600, np.nan, np.nan]], tf.float32),
    }
    found = {name: value.numpy() for name, value in context.ages(query, features).items()}
    assert list(found) == ["days_since_joined", "days_since_made"]
    minute = 1 / 24 / 60  # about the precision of a current timestamp as 32-bit float
    np.testing.assert_allclose(found["days_since_joined"], [[400] * 3, [np.nan] * 3], atol=minute)
    np.testing.assert_allclose(found["days_since_made"], [[1.5, -2, np.nan], [2.5, np.nan, np.nan]], atol=minute)
    assert all(value.dtype == np.float32 for value in found.values())
    assert signal_names.computed_signals(features) == (*signal_names.SIGNALS, *found)
    assert context.ages(query, Features()) == {}
