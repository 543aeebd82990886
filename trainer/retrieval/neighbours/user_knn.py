"""User-based nearest neighbours.

Source: Resnick et al., "GroupLens: an open architecture for collaborative filtering of netnews", CSCW 1994, adapted to
events without ratings and to shrunk similarities. A query is represented by its history, not by the user's id, so the
model also scores items for users without events in the data that it was fitted on.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from core import names
from trainer.retrieval import plan
from trainer.retrieval.contract import RetrievalData, RetrievalModel
from trainer.retrieval.interactions import binary, user_item_counts
from trainer.retrieval.neighbours.nearest import denominator, mean_square
from trainer.retrieval.neighbours.settings import UserKNNSettings
from trainer.retrieval.neighbours.weighting import K1, B, idf, weighted
from trainer.retrieval.tables import Tables


class SparseRows(tf.Module):
    """A sparse matrix in TensorFlow with access to single rows.

    Args:
      matrix: [R, C].
    """

    def __init__(self, matrix: sp.csr_matrix):
        super().__init__()
        self.offsets = tf.Variable(matrix.indptr.astype(np.int64), trainable=False)
        self.columns = tf.Variable(matrix.indices.astype(np.int64), trainable=False)
        self.values = tf.Variable(matrix.data.astype(np.float32), trainable=False)
        self.width = matrix.shape[1]

    def weighted_sum(self, rows: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Return the weighted sum of rows of the matrix.

        Args:
          rows: [K] the numbers of the rows.
          weights: [K] the weights of these rows.
        Returns:
          [C] the sum.
        """
        starts, ends = tf.gather(self.offsets, rows), tf.gather(self.offsets, rows + 1)
        positions = tf.ragged.range(starts, ends).flat_values
        values = tf.gather(self.values, positions) * tf.repeat(weights, ends - starts)
        return tf.math.unsorted_segment_sum(values, tf.gather(self.columns, positions), self.width)


class UserKNNModel(RetrievalModel):
    """The model of user-based nearest neighbours, stored as the items of each user and the users of each item.

    Queries are scored one by one, so the memory for scoring grows with the number of users plus the number of items.

    Args:
      counts: [U, N] the number of events of each user with each item.
    """

    def __init__(self, data: RetrievalData, settings: UserKNNSettings, counts: sp.csr_matrix):
        super().__init__(data, settings)
        self.settings: UserKNNSettings = settings
        table = weighted(counts, settings.weighting)
        squares = np.asarray(table.multiply(table).sum(axis=1), np.float32).ravel()
        self.idf = tf.constant(idf(counts))
        self.mean_length = float(counts.sum() / max(counts.shape[0], 1))
        self.squares = tf.constant(squares)
        self.shrinkage = settings.shrinkage * mean_square(table)
        self.item_users, self.user_items = SparseRows(table.T.tocsr()), SparseRows(binary(counts))
        popularity = data.counts()
        self.popularity = tf.constant(1e-6 * popularity / max(1, popularity.max(initial=0)), tf.float32)

    def tables(self):
        part = plan.UserNeighbours(
            settings=self.settings, shrinkage=float(self.shrinkage), mean_length=self.mean_length
        )
        matrices = {"item_users": self.item_users, "user_items": self.user_items}
        values = {"idf": self.idf, "squares": self.squares, "popularity": self.popularity}
        for name, matrix in matrices.items():
            of_matrix = (("offsets", matrix.offsets), ("columns", matrix.columns), ("values", matrix.values))
            values |= {f"{name}_{key}": value for key, value in of_matrix}
        return Tables(part, values)

    def scores(self, query):
        return self._scores(self.rows.lookup(query[names.HISTORY]))

    def item_scores(self, rows):
        return self._scores(rows[:, tf.newaxis])

    def _scores(self, rows: tf.Tensor) -> tf.Tensor:
        """Return [B, N] scores for [B, H] item rows, -1 for none."""
        spec = tf.TensorSpec(self.popularity.shape, tf.float32)
        return tf.map_fn(self._query_scores, rows, fn_output_signature=spec)

    def _query_scores(self, rows: tf.Tensor) -> tf.Tensor:
        """Return [N] scores for [H] item rows, -1 for none."""
        known = tf.boolean_mask(rows, rows >= 0)
        items, _, counts = tf.unique_with_counts(known)
        weights = self._weights(items, tf.cast(counts, tf.float32))
        products = self.item_users.weighted_sum(items, weights)
        square = tf.reduce_sum(weights * weights)
        divisor = denominator(square, self.squares, products, self.settings.similarity) + self.shrinkage
        similarities = tf.math.divide_no_nan(products, divisor)
        nearest, users = tf.math.top_k(similarities, min(self.settings.neighbours, self.squares.shape[0]))
        return self.user_items.weighted_sum(tf.cast(users, tf.int64), nearest) + self.popularity

    def _weights(self, items: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """Return the weights [K] that `weighted` gives a row with `counts` [K] at `items` [K]."""
        if self.settings.weighting == "none":
            return tf.ones_like(counts)
        item_idf = tf.gather(self.idf, items)
        if self.settings.weighting == "tf_idf":
            return tf.sqrt(counts) * item_idf
        relative = 1 - B + B * tf.reduce_sum(counts) / max(self.mean_length, 1e-9)
        return counts * (K1 + 1) / (K1 * relative + counts) * item_idf


def fit(settings: UserKNNSettings, data: RetrievalData, seed: int) -> UserKNNModel:
    """Return a model that stores the users' weighted items; similarities are computed for each query."""
    return UserKNNModel(data, settings, user_item_counts(data.users, data.items, data.n_items))
