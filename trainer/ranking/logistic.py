"""A linear model of the signals and of the features' numbers and values: the simplest ranking model."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools

import tensorflow as tf

from core import names
from trainer.layers import FeatureEmbedding
from trainer.ranking import training
from trainer.ranking.contract import RankingData
from trainer.ranking.inputs import Signals
from trainer.ranking.settings import LogisticSettings


class FirstOrder(tf.keras.layers.Layer):
    """The first-order terms [B, C, …] of a linear model, from transformed columns.

    They are a learned weight for the candidate's id and for each feature value, each number itself, and a learned
    projection of each given vector to one number.
    """

    def __init__(self, data: RankingData):
        super().__init__()
        self.ids = tf.keras.layers.Embedding(data.sizes[names.ITEM_ID], 1)
        self.user = FeatureEmbedding(data.user, data.sizes, 1)
        self.item = FeatureEmbedding(data.item, data.sizes, 1)

    def call(self, columns):
        candidate = self.ids(columns[names.ITEM_ID])
        user = [tf.repeat(value[:, tf.newaxis], tf.shape(candidate)[1], axis=1) for value in self.user(columns)]
        return tf.concat([candidate, *user, *self.item(columns)], axis=-1)


class Logistic(training.Network):
    """The linear model from transformed columns to scores [B, C] of candidates."""

    def __init__(self, settings: LogisticSettings, data: RankingData):
        super().__init__()
        self.signals, self.signal_weights, self.first = Signals(data), training.SignalWeights(data), FirstOrder(data)
        self.out = tf.keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, columns, training=False):
        return (self.out(self.first(columns)) + self.signal_weights(self.signals(columns)))[..., 0]


fit = functools.partial(training.fit, Logistic)
