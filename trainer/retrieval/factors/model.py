"""The base of matrix factorisation models: item i has the score x · y_i + offset_i for a query with the vector x.

The embedding of an item is (y_i, offset_i) and that of a query is (x, 1), so that the score is their inner product.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from core import names
from core.settings import Settings
from trainer.retrieval.contract import EmbeddingModel, RetrievalData


class FactorModel(EmbeddingModel):
    """A model with a vector for each item; a subclass defines `query_vector`.

    Args:
      factors: [N, D] y, the items' vectors; zero for an item without events.
      offsets: [N] the number that is added to the score of each item for every query.
      new: that of an item outside of the catalogue, whose vector is zero.
    """

    def __init__(
        self, data: RetrievalData, settings: Settings, factors: np.ndarray, offsets: np.ndarray, new: float = 0.0
    ):
        super().__init__(data, settings)
        self.factors = tf.Variable(factors.astype(np.float32), trainable=False, name="factors")
        embeddings = np.column_stack([factors, offsets]).astype(np.float32)
        self.new = tf.constant([[0.0] * factors.shape[1] + [new]], tf.float32)
        self.embeddings = tf.Variable(embeddings, trainable=False, name="embeddings")

    def query_vector(self, history: tf.Tensor) -> tf.Tensor:
        """Return the vectors x [B, D] of queries for their histories, given as item rows [B, H], -1 for none."""
        raise NotImplementedError

    def embed_query(self, query):
        vector = self.query_vector(self.rows.lookup(query[names.HISTORY]))
        return tf.concat([vector, tf.ones_like(vector[:, :1])], axis=1)

    def embed_candidate(self, item):
        """Return the embeddings of items; those outside of the catalogue have no vector and the offset `new`."""
        rows = self.rows.lookup(item[names.ITEM_ID])
        return tf.where((rows >= 0)[:, tf.newaxis], gathered(self.embeddings, rows), self.new)

    def item_scores(self, rows):
        normal = tf.math.l2_normalize(self.factors, axis=1)
        return tf.matmul(tf.gather(normal, rows), normal, transpose_b=True)


def gathered(table: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Return the vectors of a table [N, D] at rows [...], zero for the row -1: [..., D]."""
    return tf.where((rows >= 0)[..., tf.newaxis], tf.gather(table, tf.maximum(rows, 0)), 0.0)


def summed(table: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the sums [B, D] of a table [N, D] at rows [B, H], -1 for none, and the numbers of rows [B, 1]."""
    count = tf.reduce_sum(tf.cast(rows >= 0, tf.float32), axis=1, keepdims=True)
    return tf.reduce_sum(gathered(table, rows), axis=1), count
