"""User-based nearest neighbours: what those with a history like this one met.

Source: Resnick et al., "GroupLens: an open architecture for collaborative filtering of netnews", CSCW 1994, for what is
met rather than rated, with a shrunk similarity. The user asked about is the history in the query, so one who is new
since the fit is answered as any other.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from core import names
from trainer.retrieval.contract import RetrievalData, Retriever
from trainer.retrieval.neighbours import denominator, mean_square
from trainer.retrieval.settings import UserKNNSettings
from trainer.retrieval.weighting import K1, B, idf, user_item_counts, weighted


class Lists(tf.Module):
    """The rows of a sparse matrix one after the other, so that some of them can be read without the others.

    Args:
      table: [R, C].
    """

    def __init__(self, table: sp.csr_matrix):
        super().__init__()
        self.offsets = tf.Variable(table.indptr.astype(np.int64), trainable=False)
        self.columns = tf.Variable(table.indices.astype(np.int64), trainable=False)
        self.values = tf.Variable(table.data.astype(np.float32), trainable=False)
        self.width = table.shape[1]

    def summed(self, rows: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
        """[K] rows and the factor of each [K] → [C], the sum of the rows times their factors."""
        starts, ends = tf.gather(self.offsets, rows), tf.gather(self.offsets, rows + 1)
        places = tf.ragged.range(starts, ends).flat_values
        values = tf.gather(self.values, places) * tf.repeat(factors, ends - starts)
        return tf.math.unsorted_segment_sum(values, tf.gather(self.columns, places), self.width)


class UserKNNRetriever(Retriever):
    """The users of the fit by the items they met, and the items by the users.

    Queries are answered one after the other: each holds a number a user and one an item, and no table of both.

    Args:
      counts: [U, N] how often each user met each item.
    """

    def __init__(self, data: RetrievalData, settings: UserKNNSettings, counts: sp.csr_matrix):
        super().__init__(data, settings)
        self.settings: UserKNNSettings = settings
        table = weighted(counts, settings.weighting)
        squares = np.asarray(table.multiply(table).sum(axis=1), np.float32).ravel()
        self.idf = tf.constant(idf(counts))
        self.mean_length = float(counts.sum() / max(counts.shape[0], 1))
        self.squares = tf.constant(squares)
        self.added = settings.shrinkage * mean_square(table)
        self.users_of, self.met_by = Lists(table.T.tocsr()), Lists(weighted(counts, "none"))
        popularity = data.counts()
        self.popularity = tf.constant(1e-6 * popularity / max(1, popularity.max(initial=0)), tf.float32)

    def scores(self, query):
        return self._of_each(self.rows.lookup(query[names.HISTORY]))

    def item_scores(self, rows):
        return self._of_each(rows[:, tf.newaxis])

    def _of_each(self, rows: tf.Tensor) -> tf.Tensor:
        """[B, H] catalogue rows, -1 for none → [B, N]."""
        answer = tf.TensorSpec(self.popularity.shape, tf.float32)
        return tf.map_fn(self._of_one, rows, fn_output_signature=answer)

    def _of_one(self, rows: tf.Tensor) -> tf.Tensor:
        """[H] catalogue rows, -1 for none → [N]."""
        known = tf.boolean_mask(rows, rows >= 0)
        items, _, counts = tf.unique_with_counts(known)
        weights = self._weights(items, tf.cast(counts, tf.float32))
        both = self.users_of.summed(items, weights)
        square = tf.reduce_sum(weights * weights)
        divisor = denominator(square, self.squares, both, self.settings.similarity) + self.added
        alike = tf.math.divide_no_nan(both, divisor)
        nearest, users = tf.math.top_k(alike, min(self.settings.neighbours, self.squares.shape[0]))
        return self.met_by.summed(tf.cast(users, tf.int64), nearest) + self.popularity

    def _weights(self, items: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """What `weighted` makes of a row with `counts` [K] at `items` [K]: [K]."""
        if self.settings.weighting == "none":
            return tf.ones_like(counts)
        rare = tf.gather(self.idf, items)
        if self.settings.weighting == "tf_idf":
            return tf.sqrt(counts) * rare
        relative = 1 - B + B * tf.reduce_sum(counts) / max(self.mean_length, 1e-9)
        return counts * (K1 + 1) / (K1 * relative + counts) * rare


def fit(settings: UserKNNSettings, data: RetrievalData, seed: int) -> UserKNNRetriever:
    """Weigh the users' items; who is like whom is asked of a query alone."""
    return UserKNNRetriever(data, settings, user_item_counts(data.users, data.items, data.n_items))
