"""The NDCG@10 of the towers after an epoch, on validation queries that are transformed once for all epochs."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow.compute as pc
import tensorflow as tf

from core import metrics, names
from core.queries import Queries
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.inference import query_arrays
from trainer.retrieval.validation import validation_queries

MOST_QUERIES = 2000
AT_ONCE = 256
K = 10


class Validation:
    """The NDCG@10 of the towers on the validation queries.

    Args:
      data: the data with the validation queries.
      seed: the seed of the sample of `MOST_QUERIES` queries, which is used if there are more.
    Raises:
      ModelError: no validation query has a relevant item.
    """

    def __init__(self, data: RetrievalData, seed: int):
        queries, self.n_items = validation_queries(data), data.n_items
        if len(queries) > MOST_QUERIES:
            sample = np.random.default_rng(seed).choice(len(queries), MOST_QUERIES, replace=False, shuffle=False)
            queries = queries.take(np.sort(sample))
        self.queries = queries
        self.parts = []
        for start in range(0, len(queries), AT_ONCE):
            part = queries.take(np.arange(start, min(start + AT_ONCE, len(queries))))
            self.parts.append((data.transformed(**query_arrays(part, data.features.user)), self._seen(part, data)))

    @staticmethod
    def _seen(part: Queries, data: RetrievalData) -> np.ndarray:
        """Return the pairs of a query and an item row that may not be retrieved: [S, 2]."""
        rows = pc.index_in(part.seen.flatten(), value_set=data.catalogue[names.ITEM_ID].combine_chunks())
        query = np.repeat(np.arange(len(part)), pc.list_value_length(part.seen).to_numpy())
        return np.stack([query, rows.to_numpy()], axis=1)

    def ndcg(self, query_tower: tf.keras.Model, embeddings: tf.Tensor) -> float:
        """Return the mean NDCG@10, given the embeddings [N, D] of the catalogue's items; see `core.metrics.ndcg`."""
        best = [_best(query_tower(columns), embeddings, seen).numpy() for columns, seen in self.parts]
        offsets = self.queries.relevant_offsets
        hits = metrics.hits(np.concatenate(best), offsets, self.queries.relevant_items, self.n_items)
        return float(np.nanmean(metrics.ndcg(hits, np.diff(offsets), K)))


@tf.function(reduce_retracing=True, autograph=False)
def _best(queries, embeddings, seen):
    """Return the K best item rows [Q, K] of queries [Q, D], without the (query, item row) pairs in `seen` [S, 2]."""
    scores = tf.matmul(queries, embeddings, transpose_b=True)
    scores = tf.tensor_scatter_nd_update(scores, seen, tf.fill([tf.shape(seen)[0]], -np.inf))
    return tf.math.top_k(scores, min(K, embeddings.shape[0])).indices
