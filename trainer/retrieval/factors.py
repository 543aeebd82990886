"""What the matrix factorisation models share: an item is a vector and an offset, and a score is x · y_i + offset_i.

An index of inner products takes both at once: an item's embedding is (y_i, offset_i), a query's (x, 1).
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import tensorflow as tf

from core import names
from core.settings import Settings
from trainer.retrieval.contract import EmbeddingRetriever, RetrievalData


def user_items(data: RetrievalData) -> tuple[pa.Array, sp.csr_matrix]:
    """The users' ids [U] and how often each met each item, [U, N] float32."""
    users = data.users.dictionary_encode()
    ones = np.ones(len(data.items), np.float32)
    shape = (len(users.dictionary), data.n_items)
    return users.dictionary, sp.csr_matrix((ones, (users.indices.to_numpy(), data.items)), shape=shape)


class FactorRetriever(EmbeddingRetriever):
    """A model with a vector for each item; a subclass says what a query's vector is.

    Args:
      factors: [N, D] y, zero for an item without events.
      offsets: [N], added to an item's score whoever asks.
    """

    def __init__(self, data: RetrievalData, settings: Settings, factors: np.ndarray, offsets: np.ndarray):
        super().__init__(data, settings)
        self.factors = tf.Variable(factors.astype(np.float32), trainable=False, name="factors")
        embeddings = np.column_stack([factors, offsets]).astype(np.float32)
        self.embeddings = tf.Variable(embeddings, trainable=False, name="embeddings")

    def query_vector(self, history: tf.Tensor) -> tf.Tensor:
        """[B, H] catalogue rows of what was met, -1 for none → x [B, D]."""
        raise NotImplementedError

    def embed_query(self, query):
        vector = self.query_vector(self.rows.lookup(query[names.HISTORY]))
        return tf.concat([vector, tf.ones_like(vector[:, :1])], axis=1)

    def embed_candidate(self, item):
        """Of an item that is not in the catalogue: zero."""
        return gathered(self.embeddings, self.rows.lookup(item[names.ITEM_ID]))

    def item_scores(self, rows):
        normal = tf.math.l2_normalize(self.factors, axis=1)
        return tf.matmul(tf.gather(normal, rows), normal, transpose_b=True)


def gathered(table: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """[N, D] at rows [...] → [..., D], zero where a row is -1."""
    return tf.where((rows >= 0)[..., tf.newaxis], tf.gather(table, tf.maximum(rows, 0)), 0.0)


def summed(table: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[N, D] at rows [B, H], -1 for none → their sums [B, D] and how many there are [B, 1]."""
    count = tf.reduce_sum(tf.cast(rows >= 0, tf.float32), axis=1, keepdims=True)
    return tf.reduce_sum(gathered(table, rows), axis=1), count
