"""What a query's time and history say of each candidate: signals that the ranker works out itself, in the graph."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import tensorflow as tf

from core import names
from trainer.ranking.signals import (
    DAYS_BETWEEN,
    DAYS_SINCE_LAST,
    DAYS_SINCE_MET,
    EVENTS_SINCE_MET,
    HISTORY_SIZE,
    HOUR,
    MEETINGS_DUE,
    TIMES_MET,
    WEEKDAY,
    age_name,
)
from transform.features import Features, moments

DAY = 86_400
_BUCKETS = 2**62  # ids are compared by hash, which for text would be slow


def signals(query: dict[str, tf.Tensor], length: int) -> dict[str, tf.Tensor]:
    """The signals of `SIGNALS`, [B, C] float32 each; NaN where it is not known or never happened.

    Args:
      query: query_time [B] int64, history [B, H], history_time [B, H] int64 (0 where not known), item_id [B, C].
      length: how many of the latest events of a history count.
    """
    history, items = query[names.HISTORY], query[names.ITEM_ID]
    present = tf.not_equal(history, "")
    later = tf.cumsum(tf.cast(present, tf.int32), axis=1, reverse=True, exclusive=True)
    present &= later < length
    known = present & (query[names.HISTORY_TIME] > 0)
    days = tf.cast(query[names.QUERY_TIME][:, tf.newaxis] - query[names.HISTORY_TIME], tf.float32) / DAY
    met = tf.strings.to_hash_bucket_fast(history, _BUCKETS)[:, tf.newaxis]
    same = (tf.strings.to_hash_bucket_fast(items, _BUCKETS)[..., tf.newaxis] == met) & present[:, tf.newaxis]
    of_query = {
        HISTORY_SIZE: tf.reduce_sum(tf.cast(present, tf.float32), axis=1),
        DAYS_SINCE_LAST: _least(days, known),
        HOUR: tf.cast(query[names.QUERY_TIME] % DAY, tf.float32) / 3600,
        WEEKDAY: tf.cast((query[names.QUERY_TIME] // DAY + 3) % 7, tf.float32),
    }
    timed, of_events = same & known[:, tf.newaxis], days[:, tf.newaxis]
    since, times = _least(of_events, timed), tf.reduce_sum(tf.cast(timed, tf.float32), axis=2)
    between = (-_least(-of_events, timed) - since) / (times - 1)
    between = tf.where(between > 0, between, float("nan"))  # met once, or all at once
    return {
        TIMES_MET: tf.reduce_sum(tf.cast(same, tf.float32), axis=2),
        EVENTS_SINCE_MET: _least(tf.cast(later, tf.float32)[:, tf.newaxis], same),
        DAYS_SINCE_MET: since,
        DAYS_BETWEEN: between,
        MEETINGS_DUE: since / between,
        **{name: tf.broadcast_to(value[:, tf.newaxis], tf.shape(items)) for name, value in of_query.items()},
    }


def ages(query: dict[str, tf.Tensor], features: Features) -> dict[str, tf.Tensor]:
    """How many days before the query each moment is, [B, C] float32 each; below 0 after it, NaN where not known.

    Args:
      query: query_time [B] int64, item_id [B, C], users' moments [B] and items' [B, C], seconds.
      features: the feature configuration.
    """
    found, asked = {}, tf.cast(query[names.QUERY_TIME], tf.float64)[:, tf.newaxis]
    for name in moments(features.user | features.item):
        moment = query[name] if name in features.item else query[name][:, tf.newaxis]
        days = tf.cast((asked - tf.cast(moment, tf.float64)) / DAY, tf.float32)
        found[age_name(name)] = tf.broadcast_to(days, tf.shape(query[names.ITEM_ID]))
    return found


def _least(values: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """The least along the last axis of those `where`; NaN for none."""
    found = tf.reduce_min(tf.where(where, values, values.dtype.max), axis=-1)
    return tf.where(tf.reduce_any(where, axis=-1), found, float("nan"))
