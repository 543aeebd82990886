"""Encoders of histories: a mean, a GRU, or self-attention.

An encoder gets the vectors of items in rows [R, L, D], oldest to latest with padding last, and B histories that are
ranges of these rows, and returns their encodings [B, D], zeros for an empty history. In training a row has many
histories, and its items are encoded once for all of them; in serving each row is one history.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from typing import NamedTuple

import tensorflow as tf

from trainer.layers import Dropout
from trainer.retrieval.two_tower.settings import TwoTowerSettings


class HistoryRanges(NamedTuple):
    """B histories as ranges of rows of items.

    Args:
      row, first, last: [B] int32; a history is the items [first, last) of a row. `row` is sorted.
      own: [B] int32, an item of the range that is not in the history; None without.
    """

    row: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor
    own: tf.Tensor | None = None


class MeanHistory(tf.keras.layers.Layer):
    """The sum of the vectors divided by the root of their number, so that a longer history has a larger norm.

    The sums of all histories of a row are one product of a matrix of weights, [histories, L], with the vectors [L, D].
    """

    def call(self, vectors, ranges, training=False):
        column = tf.range(tf.shape(vectors)[1])
        inside = (column >= ranges.first[:, tf.newaxis]) & (column < ranges.last[:, tf.newaxis])
        if ranges.own is not None:
            inside &= column != ranges.own[:, tf.newaxis]
        inside = tf.cast(inside, tf.float32)
        weights = inside * tf.math.rsqrt(tf.maximum(tf.reduce_sum(inside, axis=1, keepdims=True), 1.0))
        event = tf.range(tf.shape(ranges.row)[0])
        number = event - tf.searchsorted(ranges.row, ranges.row)  # of the history among those of its row
        place = tf.stack([ranges.row, number], axis=1)
        shape = tf.stack([tf.shape(vectors)[0], tf.maximum(tf.reduce_max(number) + 1, 1), tf.shape(vectors)[1]])
        sums = tf.matmul(tf.scatter_nd(place, weights, shape), vectors)
        return tf.gather_nd(sums, place)


class GRUHistory(tf.keras.layers.Layer):
    """The state of a gated recurrent unit after the last item. A history begins at the start of its row.

    Source: Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016.
    """

    def __init__(self, dim: int, dropout: float):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.gru = tf.keras.layers.GRU(dim, return_sequences=True)

    def call(self, vectors, ranges, training=False):
        states = self.gru(self.dropout(vectors, training=training))
        return _at(_after_none(states), ranges.row, ranges.last)


class AttentionBlock(tf.keras.layers.Layer):
    """Causal attention with a bias for each distance, then a feed-forward layer, each after a layer norm: [R, L, D].

    Source of the bias: Raffel et al., "Exploring the limits of transfer learning", JMLR 2020, section 2.1.
    """

    def __init__(self, dim: int, dropout: float, longest: int):
        super().__init__()
        self.norms = [tf.keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.projection = tf.keras.layers.Dense(3 * dim)
        self.attended = tf.keras.layers.Dense(dim)
        self.feed_forward = [tf.keras.layers.Dense(dim, "relu"), tf.keras.layers.Dense(dim)]
        self.dropout = Dropout(dropout)
        self.bias = self.add_weight("bias", [longest], initializer="zeros")
        self.scale, self.longest = dim**-0.5, longest

    def call(self, states, training=False):
        queries, keys, values = tf.split(self.projection(self.norms[0](states)), 3, axis=-1)
        position = tf.range(tf.shape(states)[1])
        distance = position[:, tf.newaxis] - position
        near = (distance >= 0) & (distance < self.longest)
        bias = tf.where(near, tf.gather(self.bias, tf.where(near, distance, 0)), -1e9)
        weights = tf.nn.softmax(tf.matmul(queries, keys, transpose_b=True) * self.scale + bias)
        states += self.attended(tf.matmul(self.dropout(weights, training=training), values))
        inner, outer = self.feed_forward
        return states + self.dropout(outer(inner(self.norms[1](states))), training=training)


class SASRecHistory(tf.keras.layers.Layer):
    """The state of causal self-attention at the last item. A history begins at the start of its row.

    Attention has a bias for each distance in place of embeddings of positions, so that a state does not depend on the
    histories that contain its item.

    Source: Kang & McAuley, "Self-attentive sequential recommendation", ICDM 2018.
    """

    def __init__(self, dim: int, dropout: float, blocks: int, longest: int):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.blocks = [AttentionBlock(dim, dropout, longest) for _ in range(blocks)]
        self.norm = tf.keras.layers.LayerNormalization(epsilon=1e-6)

    def call(self, vectors, ranges, training=False):
        states = self.dropout(vectors, training=training)
        for block in self.blocks:
            states = block(states, training=training)
        return _at(_after_none(self.norm(states)), ranges.row, ranges.last)


def _after_none(states):
    """Return [R, L + 1, D], the states after 0, 1, … items: zeros before [R, L, D]."""
    return tf.pad(states, [[0, 0], [1, 0], [0, 0]])


def _at(states, row, column):
    """Return [B, D], the vectors of [R, L, D] at rows and columns [B]."""
    return tf.gather_nd(states, tf.stack([row, column], axis=1))


def encoder(settings: TwoTowerSettings, longest: int) -> tf.keras.layers.Layer:
    """Return the layer that `settings.history` names, for histories of at most `longest` items."""
    if settings.history == "gru":
        return GRUHistory(settings.dim, settings.dropout)
    if settings.history == "sasrec":
        return SASRecHistory(settings.dim, settings.dropout, settings.blocks, longest)
    return MeanHistory()
