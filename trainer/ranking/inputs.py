"""The inputs of ranking networks: signals, features of candidate and user, and the history."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from core import names
from trainer.layers import FeatureEmbedding
from trainer.ranking.contract import RankingData
from trainer.ranking.settings import NetworkSettings

ATTENTION_UNITS = 36  # the size of the hidden layer of `Attention`, as in Zhou et al.


class NetworkInputs(NamedTuple):
    """The inputs of B queries with C candidates each.

    Args:
      signals: [B, C, 2 S] the S signals, each in two forms; see `Signals`.
      user: vectors [B, …] of the user's features.
      item: vectors [B, C, …] of the candidate's features.
      candidate: [B, C, D] the embedding of the candidate's id.
      history: the pooled embeddings of the history's items: [B, 1, D], or [B, C, D] if the pooling depends on the
        candidate.
    """

    signals: tf.Tensor
    user: list[tf.Tensor]
    item: list[tf.Tensor]
    candidate: tf.Tensor
    history: tf.Tensor

    def flat(self) -> tf.Tensor:
        """Return all inputs and the elementwise product of candidate and history, concatenated: [B, C, …]."""
        user = [tf.repeat(vector[:, tf.newaxis], tf.shape(self.signals)[1], axis=1) for vector in self.user]
        history = tf.broadcast_to(self.history, tf.shape(self.candidate))
        parts = [self.signals, *user, history, self.candidate, self.candidate * history, *self.item]
        return tf.concat(parts, axis=-1)


class Signals(tf.keras.layers.Layer):
    """The standardised signals [B, C, 2 S]: each of S signals x as x and as sign(x) log(1 + |x|).

    Both forms have mean 0 and standard deviation 1 over train. The logarithm suits ranks, counts and ages, which have
    long tails; the network learns a weight for each form. An unknown signal (NaN) becomes 0, the mean. The signals that
    the ranker computes are clipped to their range in train, since ages grow beyond that range in later serving.
    """

    def __init__(self, data: RankingData):
        super().__init__()
        self.names = data.signals
        filled = data.train[names.WEIGHT] > 0
        bounds, moments = [], []
        for name in self.names:  # one signal at a time, since all in float64 take several times the memory of the lists
            known = data.train[name][filled].astype(np.float64)
            known = known[~np.isnan(known)]
            bounds.append([_bound(known, name in data.retrieval_signals, bound) for bound in (np.min, np.max)])
            moments.append([_moments(known), _moments(np.sign(known) * np.log1p(np.abs(known)))])
        self.least, self.most = np.array(bounds, np.float32).T
        mean, deviation = np.array(moments).transpose(2, 1, 0).reshape(2, -1)  # as the signals are concatenated
        self.mean = mean.astype(np.float32)
        self.scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6).astype(np.float32)

    def call(self, columns):
        plain = tf.stack([columns[name] for name in self.names], axis=-1)
        plain = tf.clip_by_value(plain, self.least, self.most)
        both = tf.concat([plain, tf.sign(plain) * tf.math.log1p(tf.abs(plain))], axis=-1)
        return tf.where(tf.math.is_nan(both), 0.0, (both - self.mean) * self.scale)


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Return the mean and the standard deviation of values; zeros for none."""
    return (float(values.mean()), float(values.std())) if len(values) else (0.0, 0.0)


def _bound(values: np.ndarray, unbounded: bool, bound) -> float:
    """Return the bound that a signal is clipped to: `bound` (np.min or np.max) of its known values [K] in train.

    A signal of the retriever (`unbounded`) is not clipped, since clipping would make different scores equal.
    """
    if unbounded or not len(values):
        return float("inf") if bound is np.max else float("-inf")
    return float(bound(values))


class Mean(tf.keras.layers.Layer):
    """The mean [B, 1, D] of the embeddings of the history's items [B, H, D], with a mask [B, H]."""

    def call(self, history, present, candidate):
        present = present[..., tf.newaxis]
        total = tf.reduce_sum(history * present, axis=1, keepdims=True)
        return total / tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0)


class Attention(tf.keras.layers.Layer):
    """The embeddings of the history's items, weighted for each candidate: Σ_h a(item_h, candidate) item_h, [B, C, D].

    The inputs are the items [B, H, D] with a mask [B, H], and the candidates [B, C, D]. a is a network with one hidden
    layer over item, candidate and their product. The weights a are not normalised, so that a stronger
    interest of the user gives a longer vector.
    Source: Zhou et al., "Deep interest network for click-through rate prediction", KDD 2018, eq. 3.
    """

    def __init__(self):
        super().__init__()
        # The sum of the three is one layer over item, candidate and product concatenated; no [B, C, H, 3 D] is made.
        self.history_layer, self.candidate_layer, self.product_layer = (
            tf.keras.layers.Dense(ATTENTION_UNITS, use_bias=bias) for bias in (True, False, False)
        )
        self.weight = tf.keras.layers.Dense(1)

    def call(self, history, present, candidate):
        product = history[:, tf.newaxis] * candidate[:, :, tf.newaxis]
        hidden = self.history_layer(history)[:, tf.newaxis] + self.candidate_layer(candidate)[:, :, tf.newaxis]
        weights = self.weight(tf.nn.relu(hidden + self.product_layer(product)))[..., 0] * present[:, tf.newaxis]
        return tf.matmul(weights, history)


class CandidateInputs(tf.keras.layers.Layer):
    """The layer from transformed columns, users' [B, …] and candidates' [B, C, …], to `NetworkInputs`."""

    def __init__(self, settings: NetworkSettings, data: RankingData):
        super().__init__()
        self.signals = Signals(data)
        self.ids = tf.keras.layers.Embedding(data.sizes[names.ITEM_ID], settings.dim)
        self.user = FeatureEmbedding(data.user, data.sizes, settings.dim)
        self.item = FeatureEmbedding(data.item, data.sizes, settings.dim)
        self.pool = Attention() if settings.history == "attention" else Mean()

    def call(self, columns):
        history, candidate = columns[names.HISTORY], self.ids(columns[names.ITEM_ID])
        pooled = self.pool(self.ids(history), tf.cast(history > 0, tf.float32), candidate)
        return NetworkInputs(self.signals(columns), self.user(columns), self.item(columns), candidate, pooled)
