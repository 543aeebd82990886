"""The validation queries, transformed once, so that judging an epoch costs a product of matrices."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow.compute as pc
import tensorflow as tf

from core import metrics, names
from core.queries import Queries
from trainer.retrieval.ask import query_arrays
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.validation import validation_queries
from transform import raw

MOST_QUERIES = 2000
AT_ONCE = 256
K = 10


class Validation:
    """What the queries of eval ask, and what would have been right.

    Args:
      data: with validation queries.
      seed: of the sample, where there are more than `MOST_QUERIES`.
    Raises:
      ModelError: no validation query has a right answer, so that there is nothing to choose by.
    """

    def __init__(self, data: RetrievalData, seed: int):
        queries, self.n_items = validation_queries(data), data.n_items
        if len(queries) > MOST_QUERIES:
            drawn = np.random.default_rng(seed).choice(len(queries), MOST_QUERIES, replace=False, shuffle=False)
            queries = queries.take(np.sort(drawn))
        transform = tf.function(lambda **query: data.transform(raw.to_sparse(query)), reduce_retracing=True)
        self.queries = queries
        self.parts = []
        for start in range(0, len(queries), AT_ONCE):
            part = queries.take(np.arange(start, min(start + AT_ONCE, len(queries))))
            self.parts.append((transform(**query_arrays(part, data.features.user)), self._seen(part, data)))

    @staticmethod
    def _seen(part: Queries, data: RetrievalData) -> np.ndarray:
        """[S, 2] of query and catalogue row that may not be returned."""
        rows = pc.index_in(part.seen.flatten(), value_set=data.catalogue[names.ITEM_ID].combine_chunks())
        query = np.repeat(np.arange(len(part)), pc.list_value_length(part.seen).to_numpy())
        return np.stack([query, rows.to_numpy()], axis=1)

    def ndcg(self, query_tower: tf.keras.Model, embeddings: tf.Tensor) -> float:
        """Mean NDCG@10 with [N, D] embeddings of the catalogue; see `core.metrics.ndcg`."""
        best = [_best(query_tower(columns), embeddings, seen).numpy() for columns, seen in self.parts]
        offsets = self.queries.relevant_offsets
        hits = metrics.hits(np.concatenate(best), offsets, self.queries.relevant_items, self.n_items)
        return float(np.nanmean(metrics.ndcg(hits, np.diff(offsets), K)))


@tf.function(reduce_retracing=True)
def _best(queries, embeddings, seen):
    """[Q, D] queries → [Q, K] catalogue rows, best first, none of [S, 2] seen."""
    scores = tf.matmul(queries, embeddings, transpose_b=True)
    scores = tf.tensor_scatter_nd_update(scores, seen, tf.fill([tf.shape(seen)[0]], -np.inf))
    return tf.math.top_k(scores, min(K, embeddings.shape[0])).indices
