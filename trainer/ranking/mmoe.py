"""Multi-gate mixture of experts: the relevance and the rating of a candidate, learned together.

Source: Ma et al., "Modeling task relationships in multi-task learning with multi-gate mixture-of-experts", KDD 2018,
eq. 5 to 7 (y_k = h_k(Σ_i g_k(x)_i f_i(x)), g_k = softmax(W_k x)).
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from core import names, progress
from trainer.distribution.distribution import over_replicas
from trainer.layers import Dropout
from trainer.ranking import training
from trainer.ranking.contract import RankingData
from trainer.ranking.inputs import CandidateInputs
from trainer.ranking.losses import Loss
from trainer.ranking.mlp import Deep
from trainer.ranking.settings import MMoESettings


class Task(tf.keras.layers.Layer):
    """The gate and tower that predict one task: inputs [B, C, X] and outputs of E experts [B, C, E, D] → [B, C, 1]."""

    def __init__(self, experts: int, units: tuple[int, ...]):
        super().__init__()
        self.gate = tf.keras.layers.Dense(experts, "softmax", use_bias=False)
        self.tower = [tf.keras.layers.Dense(size, "relu") for size in units]
        self.out = tf.keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, start, experts):
        mixed = tf.reduce_sum(self.gate(start)[..., tf.newaxis] * experts, axis=-2)
        for layer in self.tower:
            mixed = layer(mixed)
        return self.out(mixed)


class MMoE(training.Network):
    """The network from transformed columns to scores [B, C]: predicted relevance plus weighted predicted rating."""

    def __init__(self, settings: MMoESettings, data: RankingData):
        super().__init__()
        self.settings = settings
        self.inputs_layer, self.signal_weights = CandidateInputs(settings, data), training.SignalWeights(data)
        self.dropout = Dropout(settings.dropout)
        self.experts = [Deep(settings) for _ in range(settings.experts)]
        self.relevance, self.rating = (Task(settings.experts, settings.hidden[-1:]) for _ in range(2))
        ratings = _ratings(data)
        self.rated = len(ratings) > 0
        if self.rated:
            self.mean, self.deviation = float(ratings.mean()), float(ratings.std()) or 1.0

    def heads(self, columns, training=False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return predicted relevance, and predicted rating in standard deviations from the mean rating: [B, C] each."""
        inputs = self.inputs_layer(columns)
        start = self.dropout(inputs.flat(), training=training)
        experts = tf.stack([expert(start, training=training) for expert in self.experts], axis=-2)
        relevance = self.relevance(start, experts) + self.signal_weights(inputs.signals)
        return relevance[..., 0], self.rating(start, experts)[..., 0]

    def call(self, columns, training=False):
        relevance, rating = self.heads(columns, training=training)
        return relevance + self.settings.rating_score_weight * rating

    def loss(self, columns, loss: Loss):
        relevance, rating = self.heads(columns, training=True)
        total = loss(relevance, columns[names.LABEL], columns[names.WEIGHT])
        if not self.rated:
            return total
        known = ~tf.math.is_nan(columns[names.RATING])
        errors = tf.where(known, (columns[names.RATING] - self.mean) / self.deviation - rating, 0.0)
        count = over_replicas(tf.reduce_sum(tf.cast(known, tf.float32)))
        squares = tf.reduce_sum(tf.square(errors)) / tf.maximum(count, 1.0)
        return total + self.settings.rating_loss_weight * squares


def fit(settings: MMoESettings, data: RankingData, seed: int) -> tuple[training.NetworkModel, dict]:
    """Fit the network as `training.fit` does, and log its tasks; without ratings, relevance is the only task."""
    tasks = ["relevance", "rating"] if len(_ratings(data)) else ["relevance"]
    if len(tasks) == 1:
        progress.report("no candidate has a rating: relevance is the only task")
    ranker, log = training.fit(MMoE, settings, data, seed)
    return ranker, {"tasks": tasks} | log


def _ratings(data: RankingData) -> np.ndarray:
    """Return the known ratings of the candidates in the train lists, [n]; empty if events have no ratings."""
    ratings = data.train.get(names.RATING, np.zeros(0, np.float32))
    return ratings[~np.isnan(ratings)]
