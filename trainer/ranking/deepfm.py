"""Factorisation machine and hidden layers over the same embeddings.

Source: Guo et al., "DeepFM: a factorization-machine based neural network for CTR prediction", IJCAI 2017, eq. 1 to 4.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools

import tensorflow as tf

from trainer.layers import Dropout
from trainer.ranking import training
from trainer.ranking.contract import RankingData
from trainer.ranking.inputs import CandidateInputs, NetworkInputs
from trainer.ranking.logistic import FirstOrder
from trainer.ranking.mlp import Deep
from trainer.ranking.settings import DeepFMSettings


class Pairs(tf.keras.layers.Layer):
    """The pairwise term of a factorisation machine: `NetworkInputs` → Σ_{i<j} v_i · v_j over the fields, [B, C, 1].

    The fields are the candidate, the history, each feature and the signals. The vector v of a number is a learned
    vector times the number. The sum is computed as ½ ((Σ v)² - Σ v²), summed over the dimensions of v.
    Source: Rendle, "Factorization machines", ICDM 2010, eq. 3.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def build(self, shapes: NetworkInputs):
        vectors = [*shapes.user, *shapes.item, shapes.signals]
        self.project = [
            None if shape[-1] == self.dim else tf.keras.layers.Dense(self.dim, use_bias=False) for shape in vectors
        ]

    def call(self, inputs: NetworkInputs):
        user = [vector[:, tf.newaxis] for vector in inputs.user]
        vectors = [
            vector if project is None else project(vector)
            for project, vector in zip(self.project, [*user, *inputs.item, inputs.signals], strict=True)
        ]
        fields = [inputs.candidate, inputs.history, *vectors]
        total, squares = sum(fields), sum(tf.square(field) for field in fields)
        return 0.5 * tf.reduce_sum(tf.square(total) - squares, axis=-1, keepdims=True)


class DeepFM(training.Network):
    """The network from transformed columns to scores [B, C] of candidates."""

    def __init__(self, settings: DeepFMSettings, data: RankingData):
        super().__init__()
        self.inputs_layer, self.signal_weights = CandidateInputs(settings, data), training.SignalWeights(data)
        self.first, self.pairs = FirstOrder(data), Pairs(settings.dim)
        self.dropout, self.deep = Dropout(settings.dropout), Deep(settings)
        # The paper sums the first-order terms, the pairs and the output of the hidden layers. Here each has a weight
        # that starts at zero, so that training starts from the retriever's order.
        self.out = tf.keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, columns, training=False):
        inputs = self.inputs_layer(columns)
        deep = self.deep(self.dropout(inputs.flat(), training=training), training=training)
        parts = tf.concat([self.first(columns), self.pairs(inputs), deep], axis=-1)
        return (self.out(parts) + self.signal_weights(inputs.signals))[..., 0]


fit = functools.partial(training.fit, DeepFM)
