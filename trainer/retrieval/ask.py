"""Asking a retrieval model many queries: strings in, catalogue rows out."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from core import names
from core.queries import Queries
from transform import raw
from transform.features import Feature

BATCH = 512


def query_tensors(queries: Queries, user_features: dict[str, Feature]) -> dict[str, tf.Tensor]:
    """The raw inputs of the queries, without `exclude` and `k`."""
    return {
        names.USER_ID: tf.constant(queries.users[names.USER_ID].combine_chunks().to_numpy(zero_copy_only=False)),
        names.HISTORY: tf.constant(raw.pad_strings(queries.history)),
        **raw.from_table(queries.users, user_features),
    }


def retrieve(
    signature: Callable[..., dict[str, tf.Tensor]],
    queries: Queries,
    user_features: dict[str, Feature],
    catalogue: pa.Array,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The best k items of each query.

    Args:
      signature: the `retrieve` of a SavedModel or of a fitted Retriever.
      queries: Q queries.
      user_features: the users' features.
      catalogue: [N] item ids.
      k: how many.
    Returns:
      [Q, min(k, N)] int32 catalogue rows, -1 past the last item that may be returned, and their scores float32.
    """
    width = min(k, len(catalogue))
    rows = np.full((len(queries), width), -1, np.int32)
    scores = np.full((len(queries), width), -np.inf, np.float32)
    for start in range(0, len(queries), BATCH):
        part = queries.take(np.arange(start, min(start + BATCH, len(queries))))
        exclude = tf.constant(raw.pad_strings(part.seen))
        answer = signature(**query_tensors(part, user_features), exclude=exclude, k=tf.constant(k, tf.int32))
        rows[start : start + len(part)] = rows_of(catalogue, answer[names.ITEM_ID].numpy())
        scores[start : start + len(part)] = answer["score"].numpy()
    return rows, scores


def rows_of(catalogue: pa.Array, item_ids: np.ndarray) -> np.ndarray:
    """The catalogue row of each id, in the ids' shape; -1 for an id that is not there, such as padding."""
    flat = pa.array(item_ids.ravel(), pa.binary()).cast(pa.string())
    return (
        pc.fill_null(pc.index_in(flat, value_set=catalogue), -1).to_numpy(zero_copy_only=False).reshape(item_ids.shape)
    )
