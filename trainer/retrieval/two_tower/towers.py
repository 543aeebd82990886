"""The two towers, which map the columns of queries and of candidates to vectors that are compared by cosine."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from core import names
from trainer.layers import Dropout, FeatureEmbedding
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.two_tower import sequence
from trainer.retrieval.two_tower.settings import TwoTowerSettings


class IdEmbedding(tf.keras.layers.Layer):
    """The layer from ids [...] to vectors [..., D]; an id without training events has an out-of-vocabulary vector.

    Args:
      size: the number of indices; the last ones are the out-of-vocabulary buckets.
      buckets: the number of out-of-vocabulary buckets.
      trained: the indices of the ids that have training events.
      dim: D.
      deviation: the standard deviation of the initial vectors.
    """

    def __init__(self, size: int, buckets: int, trained: np.ndarray, dim: int, deviation: float):
        super().__init__()
        self.table = tf.keras.layers.Embedding(size, dim, tf.keras.initializers.RandomNormal(stddev=deviation))
        index = np.arange(size)
        untrained = np.setdiff1d(index[1 : size - buckets], trained)
        index[untrained] = size - buckets + untrained % buckets
        self.index = tf.Variable(index, trainable=False)

    def call(self, ids):
        return self.table(tf.gather(self.index, ids))


class QueryTower(tf.keras.Model):
    """The network from transformed user columns [B, …] and histories to query embeddings [B, D] of norm 1.

    In training, the histories of a batch are ranges of the rows [R, L] of the history column; otherwise each row is one
    history.
    """

    def __init__(self, settings: TwoTowerSettings, data: RetrievalData, users: IdEmbedding, items: IdEmbedding):
        super().__init__()
        self.users, self.items = users, items
        self.content = FeatureEmbedding(data.features.user, data.sizes, settings.dim)
        self.read = settings.history_length(data.features.history_length)
        self.encoder = sequence.encoder(settings, self.read)
        self.dropout = Dropout(settings.dropout)
        self.hidden = [tf.keras.layers.Dense(size, "relu") for size in settings.hidden]
        self.out = tf.keras.layers.Dense(settings.dim)

    def call(self, columns, ranges=None, training=False):
        history = columns[names.HISTORY]
        if ranges is None:
            history = latest(history, self.read)
            count = tf.reduce_sum(tf.cast(history > 0, tf.int32), axis=1)
            ranges = sequence.HistoryRanges(tf.range(tf.shape(count)[0]), tf.zeros_like(count), count)
        encoded = self.encoder(self.items(history), ranges, training=training)
        parts = [self.users(columns[names.USER_ID]), encoded, *self.content(columns)]
        hidden = self.dropout(tf.concat(parts, axis=1), training=training)
        for layer in self.hidden:
            hidden = layer(hidden)
        return tf.math.l2_normalize(self.out(hidden) + encoded, axis=1)


def latest(history, length: int):
    """Return the last `length` indices of each row of a history [B, H], oldest first, padded with 0 at the end."""
    count = tf.reduce_sum(tf.cast(history > 0, tf.int32), axis=1, keepdims=True)
    width = tf.clip_by_value(tf.reduce_max(count), 1, length)
    position = tf.maximum(count - length, 0) + tf.range(width)
    values = tf.gather(history, tf.minimum(position, tf.shape(history)[1] - 1), batch_dims=1)
    return tf.where(position < count, values, 0)


class CandidateTower(tf.keras.Model):
    """The network from transformed item columns to item embeddings [B, D] of norm 1."""

    def __init__(self, settings: TwoTowerSettings, data: RetrievalData, items: IdEmbedding):
        super().__init__()
        self.items = items
        self.content = FeatureEmbedding(data.features.item, data.sizes, settings.dim)
        self.hidden = [tf.keras.layers.Dense(size, "relu") for size in settings.hidden]
        self.out = tf.keras.layers.Dense(settings.dim)

    def call(self, columns):
        item = self.items(columns[names.ITEM_ID])
        hidden = tf.concat([item, *self.content(columns)], axis=1)
        for layer in self.hidden:
            hidden = layer(hidden)
        return tf.math.l2_normalize(self.out(hidden) + item, axis=1)
