"""Item-based nearest neighbours for ratings: the baseline of user and item, corrected by the user's similar items.

Source: Koren, "Factor in the neighbors: scalable and accurate collaborative filtering", TKDD 2010, eq. 3:

    r̂_ui = b_ui + Σ s_ij (r_uj − b_uj) / (Σ s_ij + damping)   over the items j that u rated among the nearest of i

with a damping, so that a correction by few or distant neighbours is a small one. A user whose ratings were fitted is
judged by them. Of anyone else we know what they met and no rating: each item met counts as rated one point above b_uj.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from core import names
from trainer.retrieval.contract import RetrievalData, Retriever
from trainer.retrieval.rating_neighbours import Baseline, baseline, nearest, residuals
from trainer.retrieval.rating_retriever import predict_signature, user_table
from trainer.retrieval.rating_settings import KNNBaselineSettings
from trainer.retrieval.ratings import Ratings, rated


class KNNBaselineRetriever(Retriever):
    """Predicted ratings, as `RatingRetriever` has them: `predict`, and scores that are ratings less the user's bias.

    Args:
      ratings: what was fitted on.
      base: the baselines.
      strayed: [U, N] the residuals.
      neighbours, similarities: [N, M] the nearest of each item.
    """

    def __init__(
        self,
        data: RetrievalData,
        settings: KNNBaselineSettings,
        ratings: Ratings,
        base: Baseline,
        strayed: sp.csr_matrix,
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
        near = (similarities.ravel()[kept], (neighbours.ravel()[kept], items[kept]))
        self.near = _Rows(sp.csr_matrix(near, shape=(data.n_items, data.n_items)))  # j → the items it is near to
        self.rated = _Rows(strayed)
        user = np.repeat(np.arange(strayed.shape[0], dtype=np.int64), np.diff(strayed.indptr))
        self.keys = tf.constant(user * data.n_items + strayed.indices, tf.int64)
        self.user_rows = user_table(ratings)

    def scores(self, query):
        user, history = self.user_rows.lookup(query[names.USER_ID]), self.rows.lookup(query[names.HISTORY])
        known = tf.where(user >= 0)[:, 0]
        which, items, strayed = self.rated.at(tf.gather(user, known))
        met = tf.where((history >= 0) & (user < 0)[:, tf.newaxis])
        owners = tf.concat([tf.gather(known, which), met[:, 0]], axis=0)
        items = tf.concat([items, tf.gather_nd(history, met)], axis=0)
        strayed = tf.concat([strayed, tf.ones_like(met[:, 0], tf.float32)], axis=0)
        return self.mean + self.item_bias + self._corrections(owners, items, strayed, tf.size(user, tf.int64))

    def item_scores(self, rows):
        which, items, similar = self.near.at(rows)
        return tf.scatter_nd(tf.stack([which, items], axis=1), similar, self._shape(tf.size(rows, tf.int64)))

    def _corrections(self, owners, items, strayed, count):
        """Residuals `strayed` of `items` by `owners`, [R] each → [count, N]."""
        which, targets, similar = self.near.at(items)
        places = tf.stack([tf.gather(owners, which), targets], axis=1)
        total = tf.scatter_nd(places, similar * tf.gather(strayed, which), self._shape(count))
        return total / (tf.scatter_nd(places, similar, self._shape(count)) + self.damping)

    def _shape(self, count):
        return tf.stack([count, tf.size(self.item_bias, tf.int64)])

    def predict(self, user_ids: tf.Tensor, item_ids: tf.Tensor) -> tf.Tensor:
        """[B], [B] → [B] ratings; an unknown user or item has no bias and no correction."""
        user, item = self.user_rows.lookup(user_ids), self.rows.lookup(item_ids)
        known = (user >= 0) & (item >= 0)
        near = tf.gather(self.neighbours, tf.maximum(item, 0))
        keys = user[:, tf.newaxis] * tf.size(self.item_bias, tf.int64) + near
        place = tf.searchsorted(self.keys, tf.reshape(keys, [-1]), out_type=tf.int64)
        place = tf.reshape(tf.minimum(place, tf.size(self.keys, tf.int64) - 1), tf.shape(keys))
        found = tf.cast((tf.gather(self.keys, place) == keys) & known[:, tf.newaxis], tf.float32)
        similar = found * tf.gather(self.similarities, tf.maximum(item, 0))
        total = tf.reduce_sum(similar * tf.gather(self.rated.values, place), axis=1)
        rating = self.mean + total / (tf.reduce_sum(similar, axis=1) + self.damping)
        rating += tf.where(user >= 0, tf.gather(self.user_bias, tf.maximum(user, 0)), 0.0)
        rating += tf.where(item >= 0, tf.gather(self.item_bias, tf.maximum(item, 0)), 0.0)
        return tf.clip_by_value(rating, self.lowest, self.highest)

    def signatures(self):
        return super().signatures() | {"predict": predict_signature(self.predict)}


class _Rows(tf.Module):
    """A sparse matrix whose rows are read.

    Args:
      matrix: [R, C].
    """

    def __init__(self, matrix: sp.csr_matrix):
        super().__init__()
        self.starts, self.columns = tf.constant(matrix.indptr, tf.int64), tf.constant(matrix.indices, tf.int64)
        self.values = tf.constant(matrix.data, tf.float32)

    def at(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Rows [M] → of all their entries: the place in `rows`, the column, the value."""
        places = tf.ragged.range(tf.gather(self.starts, rows), tf.gather(self.starts, rows + 1))
        flat = places.flat_values
        return places.value_rowids(), tf.gather(self.columns, flat), tf.gather(self.values, flat)


def fit(settings: KNNBaselineSettings, data: RetrievalData, seed: int) -> KNNBaselineRetriever:
    """Raises: ModelError where events have no ratings."""
    ratings = rated(data.users, data.items, data.ratings, data.n_items, "knn_baseline")
    base = baseline(ratings)
    strayed = residuals(ratings, base)
    neighbours, similarities = nearest(strayed, settings.neighbours, settings.shrinkage)
    return KNNBaselineRetriever(data, settings, ratings, base, strayed, neighbours, similarities)
