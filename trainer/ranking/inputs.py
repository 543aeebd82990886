"""What every ranking network sees of a candidate: the signals it came with, its features, and the user's."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from core import names
from trainer.layers import FeatureEmbedding
from trainer.ranking.contract import RankingData
from trainer.ranking.settings import NetworkSettings

ATTENTION_UNITS = 36  # of the hidden layer that weighs a met item; as Zhou et al.


class Seen(NamedTuple):
    """What a network sees of B queries with C candidates each.

    Args:
      signals: [B, C, 2 S], see `Signals`.
      user: vectors [B, …] of the user's features.
      item: vectors [B, C, …] of the candidate's features.
      candidate: [B, C, D] the embedding of its id.
      met: [B, 1, D] or, where it depends on the candidate, [B, C, D]: what the user met.
    """

    signals: tf.Tensor
    user: list[tf.Tensor]
    item: list[tf.Tensor]
    candidate: tf.Tensor
    met: tf.Tensor

    def flat(self) -> tf.Tensor:
        """[B, C, …]: all of it, and the product of candidate and met, side by side."""
        user = [tf.repeat(vector[:, tf.newaxis], tf.shape(self.signals)[1], axis=1) for vector in self.user]
        met = tf.broadcast_to(self.met, tf.shape(self.candidate))
        return tf.concat([self.signals, *user, met, self.candidate, self.candidate * met, *self.item], axis=-1)


class Signals(tf.keras.layers.Layer):
    """[B, C, 2 S]: each signal as it is and as sign(x) log(1 + |x|), with mean 0 and deviation 1 over train.

    Ranks, counts and ages have long tails, scores have not; the network takes whichever tells it more.
    One that is not known (NaN) is 0, which is the mean. What depends on the clock is held within what train knew: a
    user who comes back after years is one who was away for as long as anyone was.
    """

    def __init__(self, data: RankingData):
        super().__init__()
        self.names = data.signals
        filled = data.train[names.WEIGHT] > 0
        known = np.stack([data.train[name][filled] for name in self.names], axis=-1).astype(np.float64)
        self.least, self.most = (
            np.array([_bound(known[:, i], name in data.given, of) for i, name in enumerate(self.names)], np.float32)
            for of in (np.min, np.max)
        )
        known = np.concatenate([known, np.sign(known) * np.log1p(np.abs(known))], axis=-1)
        present = ~np.isnan(known)
        count = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, known, 0).sum(axis=0) / count
        deviation = np.sqrt(np.where(present, (known - mean) ** 2, 0).sum(axis=0) / count)
        self.mean = mean.astype(np.float32)
        self.scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6).astype(np.float32)

    def call(self, columns):
        plain = tf.stack([columns[name] for name in self.names], axis=-1)
        plain = tf.clip_by_value(plain, self.least, self.most)
        both = tf.concat([plain, tf.sign(plain) * tf.math.log1p(tf.abs(plain))], axis=-1)
        return tf.where(tf.math.is_nan(both), 0.0, (both - self.mean) * self.scale)


def _bound(values: np.ndarray, given: bool, of) -> float:
    """The least or the most that a signal worked out was; others have no bound, which would lose their order."""
    values = values[~np.isnan(values)]
    if given or not len(values):
        return float("inf") if of is np.max else float("-inf")
    return float(of(values))


class Mean(tf.keras.layers.Layer):
    """Met items [B, H, D] and which of them are there [B, H] → their mean [B, 1, D]."""

    def call(self, met, present, candidate):
        present = present[..., tf.newaxis]
        total = tf.reduce_sum(met * present, axis=1, keepdims=True)
        return total / tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0)


class Attention(tf.keras.layers.Layer):
    """Met items [B, H, D], which of them are there [B, H], candidates [B, C, D] → Σ_h a(met_h, candidate) met_h.

    a is a network with one hidden layer over met, candidate and their product, and is not normalised, so that a strong
    interest stays strong.
    Source: Zhou et al., "Deep interest network for click-through rate prediction", KDD 2018, eq. 3.
    """

    def __init__(self):
        super().__init__()
        # One layer over the three side by side, in parts, so that nothing [B, C, H, 3 D] is ever made.
        self.of_met, self.of_candidate, self.of_product = (
            tf.keras.layers.Dense(ATTENTION_UNITS, use_bias=bias) for bias in (True, False, False)
        )
        self.weight = tf.keras.layers.Dense(1)

    def call(self, met, present, candidate):
        product = met[:, tf.newaxis] * candidate[:, :, tf.newaxis]
        hidden = self.of_met(met)[:, tf.newaxis] + self.of_candidate(candidate)[:, :, tf.newaxis]
        weights = self.weight(tf.nn.relu(hidden + self.of_product(product)))[..., 0] * present[:, tf.newaxis]
        return tf.matmul(weights, met)


class CandidateInputs(tf.keras.layers.Layer):
    """Transformed columns, users' [B, …] and candidates' [B, C, …] → `Seen`."""

    def __init__(self, settings: NetworkSettings, data: RankingData):
        super().__init__()
        self.signals = Signals(data)
        self.ids = tf.keras.layers.Embedding(data.sizes[names.ITEM_ID], settings.dim)
        self.user = FeatureEmbedding(data.user, data.sizes, settings.dim)
        self.item = FeatureEmbedding(data.item, data.sizes, settings.dim)
        self.pool = Attention() if settings.history == "attention" else Mean()

    def call(self, columns):
        history, candidate = columns[names.HISTORY], self.ids(columns[names.ITEM_ID])
        met = self.pool(self.ids(history), tf.cast(history > 0, tf.float32), candidate)
        return Seen(self.signals(columns), self.user(columns), self.item(columns), candidate, met)
