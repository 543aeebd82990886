"""Popularity: the items with the most events, of all users or of the users in the same segment."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from core import names
from trainer.retrieval import plan
from trainer.retrieval.contract import RetrievalData, RetrievalModel
from trainer.retrieval.counts.settings import PopularitySettings
from trainer.retrieval.counts.shares import recent, segment_column, shares
from trainer.retrieval.tables import Tables
from transform import raw


class PopularityModel(RetrievalModel):
    """A model whose score of an item is its number of events, divided by that of the most popular item.

    Args:
      by_segment: [S, N] float32, the shares of the items in each segment; row s is the segment with the index s in the
        transform graph, and row 0 is for all users.
      column: the transformed column with the index of the user's segment, or None to use row 0 only.
    """

    def __init__(self, data: RetrievalData, settings: PopularitySettings, by_segment: np.ndarray, column: str | None):
        super().__init__(data, settings)
        self.by_segment, self.column = tf.Variable(by_segment, trainable=False), column
        if column is not None:
            self.transform = data.transform

    def tables(self):
        def segments(_, transformed):
            return tf.cast(transformed(self.transform)[self.column], tf.int64)

        return Tables(plan.Lists(), {"scores": self.by_segment}, None if self.column is None else segments)

    def scores(self, query):
        segments = tf.zeros(tf.shape(query[names.USER_ID]), tf.int64)
        if self.column is not None:
            segments = tf.cast(self.transform(raw.to_sparse(query))[self.column], tf.int64)
        return tf.gather(self.by_segment, segments)

    def item_scores(self, rows):
        return tf.gather(self.by_segment, tf.zeros_like(rows))


def fit(settings: PopularitySettings, data: RetrievalData, seed: int) -> PopularityModel:
    """Count the events of each item in the window, by segment if there is one.

    Ties in a segment are broken by the events of all users in the window, and further ties by all events.

    Raises:
      ModelError: the segment is no feature with one category per user, or there are events without features.
    """
    latest = recent(data.timestamps, settings.window_days)
    counts = np.bincount(data.items[latest], minlength=data.n_items)
    overall = shares(counts, data.counts())[np.newaxis]
    if settings.segment is None:
        return PopularityModel(data, settings, overall, None)
    column = segment_column(settings.segment, data.features.user)
    segments, size = data.user_columns()[column].astype(np.int64), data.sizes[column]
    cells = np.bincount((segments * data.n_items + data.items)[latest], minlength=size * data.n_items)
    by_segment = shares(cells.reshape(size, data.n_items), overall[0])
    by_segment[0] = overall[0]  # for users without a value of the segment
    return PopularityModel(data, settings, by_segment, column)
