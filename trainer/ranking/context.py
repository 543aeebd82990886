"""The signals that a ranker computes from the time and history of a query, as ops of its TensorFlow graph."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import tensorflow as tf

from core import names
from core.times import DAY
from trainer.ranking.signals import (
    DAYS_SINCE_INTERACTION,
    DAYS_SINCE_LAST_EVENT,
    DUE_RATIO,
    EVENTS_SINCE_INTERACTION,
    HISTORY_SIZE,
    HOUR,
    MEAN_DAYS_BETWEEN,
    TIMES_IN_HISTORY,
    WEEKDAY,
    age_name,
)
from transform.features import Features, timestamp_columns

_BUCKETS = 2**62  # ids are compared by hash, which is faster than by text


def hashed(ids: tf.Tensor) -> tf.Tensor:
    """Return a hash of each id, int64 and not negative."""
    return tf.strings.to_hash_bucket_fast(ids, _BUCKETS)


def signals(query: dict[str, tf.Tensor], length: int) -> dict[str, tf.Tensor]:
    """Return the signals that `trainer.ranking.signals.SIGNALS` names, [B, C] float32 each.

    A signal is NaN where it is undefined: if timestamps are unknown, or without an interaction with the candidate.

    Args:
      query: query_time [B] int64, history [B, H], history_time [B, H] int64 (0 where unknown), item_id [B, C] hashed.
      length: the maximum number of events of a history that are used, the latest ones.
    """
    history, items = query[names.HISTORY], query[names.ITEM_ID]
    present = tf.not_equal(history, "")
    later = tf.cumsum(tf.cast(present, tf.int32), axis=1, reverse=True, exclusive=True)
    present &= later < length
    known = present & (query[names.HISTORY_TIME] > 0)
    days = tf.cast(query[names.QUERY_TIME][:, tf.newaxis] - query[names.HISTORY_TIME], tf.float32) / DAY
    same = (items[..., tf.newaxis] == hashed(history)[:, tf.newaxis]) & present[:, tf.newaxis]
    query_signals = {
        HISTORY_SIZE: tf.reduce_sum(tf.cast(present, tf.float32), axis=1),
        DAYS_SINCE_LAST_EVENT: _least(days, known),
        HOUR: tf.cast(query[names.QUERY_TIME] % DAY, tf.float32) / 3600,
        WEEKDAY: tf.cast((query[names.QUERY_TIME] // DAY + 3) % 7, tf.float32),
    }
    timed, event_days = same & known[:, tf.newaxis], days[:, tf.newaxis]
    since, times = _least(event_days, timed), tf.reduce_sum(tf.cast(timed, tf.float32), axis=2)
    between = (-_least(-event_days, timed) - since) / (times - 1)
    between = tf.where(between > 0, between, float("nan"))  # NaN for one interaction, or all at one timestamp
    return {
        TIMES_IN_HISTORY: tf.reduce_sum(tf.cast(same, tf.float32), axis=2),
        EVENTS_SINCE_INTERACTION: _least(tf.cast(later, tf.float32)[:, tf.newaxis], same),
        DAYS_SINCE_INTERACTION: since,
        MEAN_DAYS_BETWEEN: between,
        DUE_RATIO: since / between,
        **{name: tf.broadcast_to(value[:, tf.newaxis], tf.shape(items)) for name, value in query_signals.items()},
    }


def ages(query: dict[str, tf.Tensor], features: Features) -> dict[str, tf.Tensor]:
    """Return the days from each timestamp feature to the query, [B, C] float32 each; NaN where unknown.

    Args:
      query: query_time [B] int64, item_id [B, C], timestamp features of users [B] and of items [B, C], in seconds.
      features: the feature configuration.
    """
    columns, query_time = {}, tf.cast(query[names.QUERY_TIME], tf.float64)[:, tf.newaxis]
    for name in timestamp_columns(features.user | features.item):
        timestamp = query[name] if name in features.item else query[name][:, tf.newaxis]
        days = tf.cast((query_time - tf.cast(timestamp, tf.float64)) / DAY, tf.float32)
        columns[age_name(name)] = tf.broadcast_to(days, tf.shape(query[names.ITEM_ID]))
    return columns


def _least(values: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Return the minimum along the last axis of the values where `where` is true; NaN if it is true nowhere."""
    least = tf.reduce_min(tf.where(where, values, values.dtype.max), axis=-1)
    return tf.where(tf.reduce_any(where, axis=-1), least, float("nan"))
