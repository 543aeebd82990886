"""Deep and cross network: explicit feature crosses in parallel with hidden layers, for each candidate of a list.

Source: Wang et al., "DCN V2", WWW 2021, eq. 1 (x' = x0 ⊙ (W x + b) + x), in parallel with the deep part (section 3.3).
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools

import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.layers import Dropout
from trainer.ranking import training
from trainer.ranking.contract import RankingData
from trainer.ranking.inputs import CandidateInputs
from trainer.ranking.mlp import Deep
from trainer.ranking.settings import DCNSettings


class DCN(training.Network):
    """The deep and cross network from transformed columns to scores [B, C] of candidates."""

    def __init__(self, settings: DCNSettings, data: RankingData):
        super().__init__()
        self.inputs_layer, self.signal_weights = CandidateInputs(settings, data), training.SignalWeights(data)
        self.cross = [tfrs.layers.dcn.Cross() for _ in range(settings.cross_layers)]
        self.dropout, self.deep = Dropout(settings.dropout), Deep(settings)
        self.out = tf.keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, columns, training=False):
        inputs = self.inputs_layer(columns)
        start = crossed = self.dropout(inputs.flat(), training=training)
        for layer in self.cross:
            crossed = layer(start, crossed)
        deep = self.deep(start, training=training)
        return (self.out(tf.concat([crossed, deep], axis=-1)) + self.signal_weights(inputs.signals))[..., 0]


fit = functools.partial(training.fit, DCN)
