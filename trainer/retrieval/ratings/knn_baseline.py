"""Item-based nearest neighbours for ratings: a baseline rating, corrected by the user's ratings of similar items.

Source: Koren, "Factor in the neighbors: scalable and accurate collaborative filtering", TKDD 2010, eq. 3:

    r̂_ui = b_ui + Σ s_ij (r_uj − b_uj) / (Σ s_ij + damping)   over the items j that u rated among the nearest of i

b_ui is the baseline. Because of the damping, few or distant neighbours give a small correction. Users with ratings in
the data are scored by these ratings. For other users the ratings of the history are not known, so each item j of the
history counts as rated one point above b_uj.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from core import names
from trainer.retrieval.contract import RetrievalData, RetrievalModel
from trainer.retrieval.ratings.data import Ratings, ratings_of
from trainer.retrieval.ratings.model import predict_signature, user_table
from trainer.retrieval.ratings.neighbours import Baseline, baseline, nearest, residuals
from trainer.retrieval.ratings.settings import KNNBaselineSettings


class KNNBaselineModel(RetrievalModel):
    """The model of predicted ratings; its signature `predict` and its scores have the same meaning as in `RatingModel`.

    Args:
      ratings: the ratings that the model was fitted on.
      base: the baselines.
      residual: [U, N] the residuals: ratings minus their baselines.
      neighbours, similarities: [N, M] each, the item rows and the similarities of the nearest items of each item.
    """

    def __init__(
        self,
        data: RetrievalData,
        settings: KNNBaselineSettings,
        ratings: Ratings,
        base: Baseline,
        residual: sp.csr_matrix,
        neighbours: np.ndarray,
        similarities: np.ndarray,
    ):
        super().__init__(data, settings)
        self.mean, self.damping = base.mean, settings.damping
        self.lowest, self.highest = ratings.values.min(), ratings.values.max()
        self.user_bias, self.item_bias = tf.constant(base.users, tf.float32), tf.constant(base.items, tf.float32)
        self.neighbours, self.similarities = tf.constant(neighbours, tf.int64), tf.constant(similarities, tf.float32)
        items = np.repeat(np.arange(data.n_items), neighbours.shape[1])
        kept = similarities.ravel() > 0
        entries = (similarities.ravel()[kept], (neighbours.ravel()[kept], items[kept]))
        # Item j → the items that j is a neighbour of.
        self.neighbour_of = _SparseRows(sp.csr_matrix(entries, shape=(data.n_items, data.n_items)))
        self.residuals = _SparseRows(residual)
        user = np.repeat(np.arange(residual.shape[0], dtype=np.int64), np.diff(residual.indptr))
        self.keys = tf.constant(user * data.n_items + residual.indices, tf.int64)
        self.user_rows = user_table(ratings)

    def scores(self, query):
        user, history = self.user_rows.lookup(query[names.USER_ID]), self.rows.lookup(query[names.HISTORY])
        known = tf.where(user >= 0)[:, 0]
        which, items, residual = self.residuals.entries(tf.gather(user, known))
        unrated = tf.where((history >= 0) & (user < 0)[:, tf.newaxis])
        owners = tf.concat([tf.gather(known, which), unrated[:, 0]], axis=0)
        items = tf.concat([items, tf.gather_nd(history, unrated)], axis=0)
        residual = tf.concat([residual, tf.ones_like(unrated[:, 0], tf.float32)], axis=0)
        return self.mean + self.item_bias + self._corrections(owners, items, residual, tf.size(user, tf.int64))

    def item_scores(self, rows):
        which, items, similarity = self.neighbour_of.entries(rows)
        return tf.scatter_nd(tf.stack([which, items], axis=1), similarity, self._shape(tf.size(rows, tf.int64)))

    def _corrections(self, owners, items, residual, count):
        """Return the corrections of the scores of `count` queries: [count, N].

        `owners`, `items` and `residual` are [R] each: the query, the item row and the residual of each rated item.
        """
        which, targets, similarity = self.neighbour_of.entries(items)
        positions = tf.stack([tf.gather(owners, which), targets], axis=1)
        total = tf.scatter_nd(positions, similarity * tf.gather(residual, which), self._shape(count))
        return total / (tf.scatter_nd(positions, similarity, self._shape(count)) + self.damping)

    def _shape(self, count):
        return tf.stack([count, tf.size(self.item_bias, tf.int64)])

    def predict(self, user_ids: tf.Tensor, item_ids: tf.Tensor) -> tf.Tensor:
        """Return the predicted ratings [B] of pairs of a user and an item.

        A user or an item without ratings has no bias, and the pair then has no correction.
        """
        user, item = self.user_rows.lookup(user_ids), self.rows.lookup(item_ids)
        known = (user >= 0) & (item >= 0)
        neighbours = tf.gather(self.neighbours, tf.maximum(item, 0))
        keys = user[:, tf.newaxis] * tf.size(self.item_bias, tf.int64) + neighbours
        position = tf.searchsorted(self.keys, tf.reshape(keys, [-1]), out_type=tf.int64)
        position = tf.reshape(tf.minimum(position, tf.size(self.keys, tf.int64) - 1), tf.shape(keys))
        rated = tf.cast((tf.gather(self.keys, position) == keys) & known[:, tf.newaxis], tf.float32)
        similarity = rated * tf.gather(self.similarities, tf.maximum(item, 0))
        total = tf.reduce_sum(similarity * tf.gather(self.residuals.values, position), axis=1)
        rating = self.mean + total / (tf.reduce_sum(similarity, axis=1) + self.damping)
        rating += tf.where(user >= 0, tf.gather(self.user_bias, tf.maximum(user, 0)), 0.0)
        rating += tf.where(item >= 0, tf.gather(self.item_bias, tf.maximum(item, 0)), 0.0)
        return tf.clip_by_value(rating, self.lowest, self.highest)

    def signatures(self):
        return super().signatures() | {"predict": predict_signature(self.predict)}


class _SparseRows(tf.Module):
    """A sparse matrix with access to single rows.

    Args:
      matrix: [R, C].
    """

    def __init__(self, matrix: sp.csr_matrix):
        super().__init__()
        self.starts, self.columns = tf.constant(matrix.indptr, tf.int64), tf.constant(matrix.indices, tf.int64)
        self.values = tf.constant(matrix.data, tf.float32)

    def entries(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return all entries of the given rows [M]: of each entry the position in `rows`, the column and the value."""
        positions = tf.ragged.range(tf.gather(self.starts, rows), tf.gather(self.starts, rows + 1))
        flat = positions.flat_values
        return positions.value_rowids(), tf.gather(self.columns, flat), tf.gather(self.values, flat)


def fit(settings: KNNBaselineSettings, data: RetrievalData, seed: int) -> KNNBaselineModel:
    """Compute baselines, residuals and similarities. Raises: ModelError where events have no ratings."""
    ratings = ratings_of(data.users, data.items, data.ratings, data.n_items, "knn_baseline")
    base = baseline(ratings)
    residual = residuals(ratings, base)
    neighbours, similarities = nearest(residual, settings.neighbours, settings.shrinkage)
    return KNNBaselineModel(data, settings, ratings, base, residual, neighbours, similarities)
