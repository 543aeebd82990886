"""What the models of ratings share: the best items are those that the user is predicted to rate highest.

Beside the contract's signatures they have predict(user_id [B], item_id [B]) → rating [B], within the range of ratings
that they were fitted on. A score of `retrieve` is a predicted rating less the user's bias, which orders nothing.

Which vector a query has: a user whose ratings were fitted has their own. Of anyone else we know what they met, in the
history, and no rating. For them SVD++ has its implicit part; the other models place them at the mean of those who rated
what they met and, with nothing met, at the mean of all users, so that the best rated items come first.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from core import names
from core.settings import Settings
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.factors import FactorRetriever, gathered, summed
from trainer.retrieval.ratings import RatingFactors, Ratings, company, fitted, rated


class RatingRetriever(FactorRetriever):
    """Predicted ratings μ + b_u + b_i + q_i · p_u.

    Args:
      ratings: what was fitted on.
      learned: the factors.
    """

    def __init__(self, data: RetrievalData, settings: Settings, ratings: Ratings, learned: RatingFactors):
        # Without biases q · p says nothing of an item that nobody rated: what it is predicted to get is then μ.
        unrated = np.bincount(ratings.items, minlength=data.n_items) == 0
        offsets = learned.mean + learned.item_bias if learned.biased else learned.mean * unrated
        super().__init__(data, settings, learned.items, offsets)
        self.mean, self.biased, self.implicit = learned.mean, learned.biased, learned.implicit is not None
        self.lowest, self.highest = ratings.values.min(), ratings.values.max()
        self.user_rows = user_table(ratings)
        met = company(ratings, learned.users) if learned.implicit is None else learned.implicit
        nothing_met = np.zeros(met.shape[1]) if self.implicit else learned.users.mean(axis=0)
        self.users, self.user_bias, self.met, self.nothing_met = (
            tf.Variable(values.astype(np.float32), trainable=False)
            for values in (learned.users, learned.user_bias, met, nothing_met)
        )

    def embed_query(self, query):
        rows = self.user_rows.lookup(query[names.USER_ID])[:, tf.newaxis]
        own = gathered(self.users, rows[:, 0])
        vector = tf.where(rows >= 0, own, self.query_vector(self.rows.lookup(query[names.HISTORY])))
        return tf.concat([vector, tf.ones_like(vector[:, :1])], axis=1)

    def query_vector(self, history):
        """Of a user without ratings: |N|^-½ Σ y_i with an implicit part, else the mean of those who rated each item."""
        total, count = summed(self.met, history)
        met = total / tf.maximum(tf.sqrt(count) if self.implicit else count, 1.0)
        return tf.where(count > 0, met, self.nothing_met)

    def predict(self, user_ids: tf.Tensor, item_ids: tf.Tensor) -> tf.Tensor:
        """[B], [B] → [B] ratings; an unknown user or item has no bias, and without both known there is no q · p."""
        user, item = self.user_rows.lookup(user_ids), self.rows.lookup(item_ids)
        interaction = tf.reduce_sum(gathered(self.users, user) * gathered(self.factors, item), axis=1)
        offset = tf.where(item >= 0, tf.gather(self.embeddings[:, -1], tf.maximum(item, 0)), self.mean)
        if self.biased:
            rating = offset + tf.where(user >= 0, tf.gather(self.user_bias, tf.maximum(user, 0)), 0.0) + interaction
        else:
            rating = tf.where(user >= 0, offset + interaction, self.mean)
        return tf.clip_by_value(rating, self.lowest, self.highest)

    def signatures(self):
        return super().signatures() | {"predict": predict_signature(self.predict)}


def user_table(ratings: Ratings) -> tf.lookup.StaticHashTable:
    """User id → the user's row, -1 for one without ratings."""
    ids = tf.constant(ratings.users.to_numpy(zero_copy_only=False))
    rows = tf.range(len(ratings.users), dtype=tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(ids, rows), default_value=-1)


def predict_signature(predict: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Any:
    """The served function predict(user_id [B], item_id [B]) → rating [B]."""

    def served(**pair):
        return {names.RATING: predict(pair[names.USER_ID], pair[names.ITEM_ID])}

    pair = {name: tf.TensorSpec([None], tf.string, name=name) for name in (names.USER_ID, names.ITEM_ID)}
    return tf.function(served).get_concrete_function(**pair)


def fit_with(algorithm: Any, model: str, settings: Settings, data: RetrievalData) -> RatingRetriever:
    """Fit an algorithm of Surprise's. Raises: ModelError where events have no ratings."""
    ratings = rated(data.users, data.items, data.ratings, data.n_items, model)
    return RatingRetriever(data, settings, ratings, fitted(algorithm, ratings))
