"""Repeats: the items of the history, by frequency and recency; popularity orders the other items.

Source: Anderson et al., "The dynamics of repeat consumption", WWW 2014: the frequency and above all the recency of an
item predict its repetition. An item with c events in the history, of which the latest is followed by n other events,
has the score

    ln(1 + c) · ½^(n / half-life)

or, with `decay: each`, ln(1 + Σ ½^(n / half-life)), a sum over its events. Without a half-life the items are ordered by
c. With `item_feature` the values of a feature are counted instead of the items, and an item has the score of its value,
even if the item is not in the history.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow.compute as pc
import tensorflow as tf

from core import names
from trainer.retrieval.contract import RetrievalData, RetrievalModel, decay
from trainer.retrieval.counts.settings import RepeatsSettings
from trainer.retrieval.counts.shares import check_counted


class RepeatsModel(RetrievalModel):
    """Scores by the frequency and recency of each item, or of each value of `item_feature`, in a query's history.

    Args:
      counts: [N] the number of events of each item, by which other items are ordered.
      values: [N] int64, for each item the number of what is counted: the item itself or its value; -1 for none.
    """

    def __init__(self, data: RetrievalData, settings: RepeatsSettings, counts: np.ndarray, values: np.ndarray):
        super().__init__(data, settings)
        self.half_life, self.decay_each = settings.half_life, settings.decay == "each"
        self.popularity = tf.constant(1e-6 * counts / max(1, counts.max(initial=0)), tf.float32)
        self.values, self.n_values = tf.constant(values, tf.int64), int(values.max(initial=0)) + 1

    def scores(self, query):
        rows = self.rows.lookup(query[names.HISTORY])
        ages = tf.cumsum(tf.cast(rows >= 0, tf.float32), axis=1, reverse=True, exclusive=True)
        values = tf.where(rows >= 0, tf.gather(self.values, tf.maximum(rows, 0)), -1)
        where = tf.where(values >= 0)
        positions = tf.stack([where[:, 0], tf.gather_nd(values, where)], axis=1)
        zeros = tf.zeros(tf.stack([tf.shape(rows)[0], self.n_values]))
        weights = tf.gather_nd(decay(ages, self.half_life), where)
        if self.decay_each:
            value_scores = tf.math.log1p(tf.tensor_scatter_nd_add(zeros, positions, weights))
        else:
            counts = tf.tensor_scatter_nd_add(zeros, positions, tf.ones_like(weights))
            value_scores = tf.math.log1p(counts) * tf.tensor_scatter_nd_max(zeros, positions, weights)
        item_scores = tf.gather(value_scores, tf.maximum(self.values, 0), axis=1)
        return tf.where(self.values >= 0, item_scores, 0.0) + self.popularity

    def item_scores(self, rows):
        return tf.broadcast_to(self.popularity, [tf.shape(rows)[0], tf.shape(self.popularity)[0]])


def fit(settings: RepeatsSettings, data: RetrievalData, seed: int) -> RepeatsModel:
    """Return the model; only popularity is computed from `data`, since a query's history gives the other counts.

    Raises:
      ModelError: `item_feature` is no categorical feature of items.
    """
    if settings.item_feature is None:
        return RepeatsModel(data, settings, data.counts(), np.arange(data.n_items))
    check_counted(settings.item_feature, data.features.item)
    values = pc.dictionary_encode(data.catalogue[settings.item_feature].combine_chunks()).indices
    return RepeatsModel(data, settings, data.counts(), values.fill_null(-1).to_numpy().astype(np.int64))
