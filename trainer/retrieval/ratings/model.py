"""The model of factorised ratings: the best items are those with the highest predicted ratings.

Besides the signatures of the contract the model has predict(user_id [B], item_id [B]) → rating [B], clipped to the
range of the ratings that the model was fitted on. A score of `retrieve` is a predicted rating minus the user's bias,
which does not change the order.

For a user with ratings, the vector of a query is the user's fitted vector. For other users the ratings of the history
are not known, so SVD++ uses its implicit vectors of the history's items. The other models use the mean vector of the
users who rated these items or, for an empty history, the mean vector of all users, so that the best rated items come
first.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from core import names
from core.settings import Settings
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.factors.model import FactorModel, gathered, summed
from trainer.retrieval.ratings.data import Ratings, ratings_of
from trainer.retrieval.ratings.fitting import RatingFactors, fit_factors, item_user_means


class RatingModel(FactorModel):
    """The model of predicted ratings μ + b_u + b_i + q_i · p_u.

    Args:
      ratings: the ratings that the model was fitted on.
      fitted: the fitted parameters.
    """

    def __init__(self, data: RetrievalData, settings: Settings, ratings: Ratings, fitted: RatingFactors):
        # In a model without biases q · p is 0 for an item without ratings. Its offset is μ, the predicted rating.
        unrated = np.bincount(ratings.items, minlength=data.n_items) == 0
        offsets = fitted.mean + fitted.item_bias if fitted.biased else fitted.mean * unrated
        super().__init__(data, settings, fitted.items, offsets, fitted.mean)
        self.mean, self.biased, self.implicit = fitted.mean, fitted.biased, fitted.implicit is not None
        self.lowest, self.highest = ratings.values.min(), ratings.values.max()
        self.user_rows = user_table(ratings)
        history = item_user_means(ratings, fitted.users) if fitted.implicit is None else fitted.implicit
        no_history = np.zeros(history.shape[1]) if self.implicit else fitted.users.mean(axis=0)
        self.users, self.user_bias, self.history_vectors, self.no_history = (
            tf.Variable(values.astype(np.float32), trainable=False)
            for values in (fitted.users, fitted.user_bias, history, no_history)
        )

    def embed_query(self, query):
        rows = self.user_rows.lookup(query[names.USER_ID])[:, tf.newaxis]
        fitted = gathered(self.users, rows[:, 0])
        vector = tf.where(rows >= 0, fitted, self.query_vector(self.rows.lookup(query[names.HISTORY])))
        return tf.concat([vector, tf.ones_like(vector[:, :1])], axis=1)

    def query_vector(self, history):
        """Return the vectors of users without ratings, from their histories as item rows [B, H]: [B, D].

        They are |N|^-½ Σ y_i for SVD++, else the mean of the rows of `item_user_means` for the items of the history.
        """
        total, count = summed(self.history_vectors, history)
        vector = total / tf.maximum(tf.sqrt(count) if self.implicit else count, 1.0)
        return tf.where(count > 0, vector, self.no_history)

    def predict(self, user_ids: tf.Tensor, item_ids: tf.Tensor) -> tf.Tensor:
        """Return the predicted ratings [B] of pairs of a user and an item.

        A user or an item without ratings has no bias and no vector; a model without biases then predicts μ.
        """
        user, item = self.user_rows.lookup(user_ids), self.rows.lookup(item_ids)
        product = tf.reduce_sum(gathered(self.users, user) * gathered(self.factors, item), axis=1)
        offset = tf.where(item >= 0, tf.gather(self.embeddings[:, -1], tf.maximum(item, 0)), self.mean)
        if self.biased:
            rating = offset + tf.where(user >= 0, tf.gather(self.user_bias, tf.maximum(user, 0)), 0.0) + product
        else:
            rating = tf.where(user >= 0, offset + product, self.mean)
        return tf.clip_by_value(rating, self.lowest, self.highest)

    def signatures(self):
        return super().signatures() | {"predict": predict_signature(self.predict)}


def user_table(ratings: Ratings) -> tf.lookup.StaticHashTable:
    """Return the table user id → the user's row, -1 for a user without ratings."""
    ids = tf.constant(ratings.users.to_numpy(zero_copy_only=False))
    rows = tf.range(len(ratings.users), dtype=tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(ids, rows), default_value=-1)


def predict_signature(predict: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Any:
    """Return the served function predict(user_id [B], item_id [B]) → rating [B]."""

    def served(**pair):
        return {names.RATING: predict(pair[names.USER_ID], pair[names.ITEM_ID])}

    pair = {name: tf.TensorSpec([None], tf.string, name=name) for name in (names.USER_ID, names.ITEM_ID)}
    return tf.function(served, autograph=False).get_concrete_function(**pair)


def fit_with(algorithm: Any, model: str, settings: Settings, data: RetrievalData) -> RatingModel:
    """Fit an algorithm of Surprise. Raises: ModelError where events have no ratings."""
    ratings = ratings_of(data.users, data.items, data.ratings, data.n_items, model)
    return RatingModel(data, settings, ratings, fit_factors(algorithm, ratings))
