"""Factorisation machine and deep layers over the same embeddings.

Source: Guo et al., "DeepFM: a factorization-machine based neural network for CTR prediction", IJCAI 2017, eq. 1 to 4.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools

import tensorflow as tf

from trainer.ranking import training
from trainer.ranking.contract import RankingData
from trainer.ranking.inputs import CandidateInputs, Seen
from trainer.ranking.logistic import FirstOrder
from trainer.ranking.mlp import Deep
from trainer.ranking.settings import DeepFMSettings


class Pairs(tf.keras.layers.Layer):
    """`Seen` → [B, C, 1]: Σ_{i<j} v_i · v_j over the fields, by ½ ((Σ v)² - Σ v²) (Rendle, ICDM 2010, eq. 3).

    The fields are the candidate, what was met, each feature and the signals; a number has its own vector, times it.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def build(self, shapes: Seen):
        vectors = [*shapes.user, *shapes.item, shapes.signals]
        self.project = [
            None if shape[-1] == self.dim else tf.keras.layers.Dense(self.dim, use_bias=False) for shape in vectors
        ]

    def call(self, seen: Seen):
        user = [vector[:, tf.newaxis] for vector in seen.user]
        vectors = [
            vector if project is None else project(vector)
            for project, vector in zip(self.project, [*user, *seen.item, seen.signals], strict=True)
        ]
        fields = [seen.candidate, seen.met, *vectors]
        total, squares = sum(fields), sum(tf.square(field) for field in fields)
        return 0.5 * tf.reduce_sum(tf.square(total) - squares, axis=-1, keepdims=True)


class DeepFM(training.Network):
    """Transformed columns → [B, C] scores."""

    def __init__(self, settings: DeepFMSettings, data: RankingData):
        super().__init__()
        self.see, self.retriever = CandidateInputs(settings, data), training.Retriever(data)
        self.first, self.pairs = FirstOrder(data), Pairs(settings.dim)
        self.dropout, self.deep = tf.keras.layers.Dropout(settings.dropout), Deep(settings)
        # The paper adds the three up; here each has a weight, which starts at zero: the retriever's order comes first.
        self.out = tf.keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, columns, training=False):
        seen = self.see(columns)
        deep = self.deep(self.dropout(seen.flat(), training=training), training=training)
        parts = tf.concat([self.first(columns), self.pairs(seen), deep], axis=-1)
        return (self.out(parts) + self.retriever(seen.signals))[..., 0]


fit = functools.partial(training.fit, DeepFM)
