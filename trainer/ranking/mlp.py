"""Hidden layers over the concatenated inputs of a candidate.

Source: Covington, Adams and Sargin, "Deep neural networks for YouTube recommendations", RecSys 2016, section 4.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools

import tensorflow as tf

from trainer.layers import Dropout
from trainer.ranking import training
from trainer.ranking.contract import RankingData
from trainer.ranking.inputs import CandidateInputs
from trainer.ranking.settings import MLPSettings, NetworkSettings


class Deep(tf.keras.layers.Layer):
    """ReLU layers, each followed by dropout: […, X] → […, size of the last layer]."""

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self.layers = [tf.keras.layers.Dense(size, "relu") for size in settings.hidden]
        self.dropout = Dropout(settings.dropout)

    def call(self, values, training=False):
        for layer in self.layers:
            values = self.dropout(layer(values), training=training)
        return values


class MLP(training.Network):
    """The network from transformed columns to scores [B, C] of candidates."""

    def __init__(self, settings: MLPSettings, data: RankingData):
        super().__init__()
        self.inputs_layer, self.signal_weights = CandidateInputs(settings, data), training.SignalWeights(data)
        self.dropout, self.deep = Dropout(settings.dropout), Deep(settings)
        self.out = tf.keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, columns, training=False):
        inputs = self.inputs_layer(columns)
        deep = self.deep(self.dropout(inputs.flat(), training=training), training=training)
        return (self.out(deep) + self.signal_weights(inputs.signals))[..., 0]


fit = functools.partial(training.fit, MLP)
