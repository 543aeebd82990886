"""Repeats: what the user met before comes again, the most often and most lately met first; popularity orders the rest.

Source: Anderson et al., "The dynamics of repeat consumption", WWW 2014: of what is met again, frequency and above all
recency tell. An item that stands c times in the history, the last time with a later events after it, scores

    ln(1 + c) · ½^(a / half-life)

or, where each of its meetings ages, ln(1 + Σ ½^(a / half-life)) over them;
of which the order without a half-life is that of the user's own counts. With `of`, a feature of items, it is its values
that are counted: an item scores what its value does, however new it is to the user.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow.compute as pc
import tensorflow as tf

from core import names
from trainer.retrieval.contract import RetrievalData, Retriever, decay
from trainer.retrieval.settings import RepeatsSettings
from trainer.retrieval.shares import check_counted


class RepeatsRetriever(Retriever):
    """How often and how lately each item, or each value, stands in the history of the query.

    Args:
      counts: [N] events of each item.
      values: [N] int64 what of each item is counted, -1 for nothing.
    """

    def __init__(self, data: RetrievalData, settings: RepeatsSettings, counts: np.ndarray, values: np.ndarray):
        super().__init__(data, settings)
        self.half_life, self.each = settings.half_life, settings.aged == "each"
        self.popularity = tf.constant(1e-6 * counts / max(1, counts.max(initial=0)), tf.float32)
        self.values, self.n_values = tf.constant(values, tf.int64), int(values.max(initial=0)) + 1

    def scores(self, query):
        rows = self.rows.lookup(query[names.HISTORY])
        ages = tf.cumsum(tf.cast(rows >= 0, tf.float32), axis=1, reverse=True, exclusive=True)
        values = tf.where(rows >= 0, tf.gather(self.values, tf.maximum(rows, 0)), -1)
        where = tf.where(values >= 0)
        places = tf.stack([where[:, 0], tf.gather_nd(values, where)], axis=1)
        nothing = tf.zeros(tf.stack([tf.shape(rows)[0], self.n_values]))
        aged = tf.gather_nd(decay(ages, self.half_life), where)
        if self.each:
            found = tf.math.log1p(tf.tensor_scatter_nd_add(nothing, places, aged))
        else:
            counts = tf.tensor_scatter_nd_add(nothing, places, tf.ones_like(aged))
            found = tf.math.log1p(counts) * tf.tensor_scatter_nd_max(nothing, places, aged)
        of_items = tf.gather(found, tf.maximum(self.values, 0), axis=1)
        return tf.where(self.values >= 0, of_items, 0.0) + self.popularity

    def item_scores(self, rows):
        return tf.broadcast_to(self.popularity, [tf.shape(rows)[0], tf.shape(self.popularity)[0]])


def fit(settings: RepeatsSettings, data: RetrievalData, seed: int) -> RepeatsRetriever:
    """Only popularity is learned: what counts stands in the query.

    Raises:
      ModelError: `of` is no feature of items with one value each.
    """
    if settings.of is None:
        return RepeatsRetriever(data, settings, data.counts(), np.arange(data.n_items))
    check_counted(settings.of, data.features.item)
    values = pc.dictionary_encode(data.catalogue[settings.of].combine_chunks()).indices
    return RepeatsRetriever(data, settings, data.counts(), values.fill_null(-1).to_numpy().astype(np.int64))
