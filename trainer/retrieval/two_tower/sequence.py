"""Encoders of the history: a mean, a GRU, or self-attention.

The inputs are the items' vectors [B, H, D], oldest to latest with padding last, `present` [B, H] as 1 and 0, and
`length` [B], the length of the history before sampling; the output is [B, D], zeros for an empty history.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import tensorflow as tf

from trainer.retrieval.two_tower.settings import TwoTowerSettings


class MeanHistory(tf.keras.layers.Layer):
    """The mean of the vectors times the square root of `length`, so that a longer history has a larger norm."""

    def call(self, vectors, present, length, training=False):
        total = tf.reduce_sum(vectors * present[..., tf.newaxis], axis=1)
        count = tf.maximum(tf.reduce_sum(present, axis=1), 1.0)
        return total * (tf.sqrt(length) / count)[:, tf.newaxis]


class GRUHistory(tf.keras.layers.Layer):
    """The last state of a gated recurrent unit.

    Source: Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016.
    """

    def __init__(self, dim: int, dropout: float):
        super().__init__()
        self.dropout = tf.keras.layers.Dropout(dropout)
        self.gru = tf.keras.layers.GRU(dim)

    def call(self, vectors, present, length, training=False):
        return self.gru(self.dropout(vectors, training=training), mask=present > 0)


class AttentionBlock(tf.keras.layers.Layer):
    """Attention of queries [B, Q, D] to keys [B, K, D], then two dense layers, both residual and after a layer norm."""

    def __init__(self, dim: int, dropout: float):
        super().__init__()
        self.norms = [tf.keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.attention = tf.keras.layers.MultiHeadAttention(1, dim, dropout=dropout)
        self.feed_forward = [tf.keras.layers.Dense(dim, "relu"), tf.keras.layers.Dense(dim)]
        self.dropout = tf.keras.layers.Dropout(dropout)

    def call(self, queries, keys, mask, training=False):
        normal = self.norms[0]
        queries += self.attention(normal(queries), normal(keys), attention_mask=mask, training=training)
        inner, outer = self.feed_forward
        return queries + self.dropout(outer(inner(self.norms[1](queries))), training=training)


class SASRecHistory(tf.keras.layers.Layer):
    """Causal self-attention; the output is the state at the latest item after the last block.

    Positions are counted from the latest item, so that they do not depend on the length of the history. The last block
    computes only the state that is the output, which saves time.

    Source: Kang & McAuley, "Self-attentive sequential recommendation", ICDM 2018.
    """

    def __init__(self, dim: int, dropout: float, blocks: int, longest: int):
        super().__init__()
        self.positions = tf.keras.layers.Embedding(longest, dim)
        self.dropout = tf.keras.layers.Dropout(dropout)
        self.blocks = [AttentionBlock(dim, dropout) for _ in range(blocks)]
        self.norm = tf.keras.layers.LayerNormalization(epsilon=1e-6)

    def call(self, vectors, present, length, training=False):
        count = tf.cast(tf.reduce_sum(present, axis=1), tf.int32)
        position = count[:, tf.newaxis] - 1 - tf.range(tf.shape(vectors)[1])
        states = self.dropout(vectors + self.positions(tf.maximum(position, 0)), training=training)
        mask = present[:, tf.newaxis, :] > 0
        causal = tf.linalg.band_part(tf.ones([tf.shape(vectors)[1]] * 2, tf.bool), -1, 0)
        for block in self.blocks[:-1]:
            states = block(states, states, mask & causal, training=training)
        latest = tf.gather(states, tf.maximum(count - 1, 0)[:, tf.newaxis], batch_dims=1)
        summary = self.norm(self.blocks[-1](latest, states, mask, training=training))[:, 0]
        return tf.where(count[:, tf.newaxis] > 0, summary, 0.0)


def encoder(settings: TwoTowerSettings, longest: int) -> tf.keras.layers.Layer:
    """Return the layer that `settings.history` names, for histories of at most `longest` items."""
    if settings.history == "gru":
        return GRUHistory(settings.dim, settings.dropout)
    if settings.history == "sasrec":
        return SASRecHistory(settings.dim, settings.dropout, settings.blocks, longest)
    return MeanHistory()
