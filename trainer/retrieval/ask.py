"""Asking a retrieval model many queries: strings in, catalogue rows out."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from core import names
from core.queries import Candidates, Queries
from transform import raw
from transform.features import Feature

BATCH = 512
SCORES_AT_ONCE = 16_000_000  # of all items; with a large catalogue fewer queries are asked together


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
) -> Candidates:
    """The best min(k, N) items of each query.

    Args:
      signature: the `retrieve` of a SavedModel or of a fitted Retriever.
      queries: Q queries.
      user_features: the users' features.
      catalogue: [N] item ids.
      k: how many.
    """
    width = min(k, len(catalogue))
    found = []
    for part in batches(queries, len(catalogue)):
        exclude = tf.constant(raw.pad_strings(part.seen))
        answer = signature(**query_tensors(part, user_features), exclude=exclude, k=tf.constant(k, tf.int32))
        values = {name: value.numpy() for name, value in answer.items()}
        found.append({**values, names.ITEM_ID: rows_of(catalogue, values[names.ITEM_ID])})
    if not found:
        return Candidates(np.full((0, width), -1, np.int32), np.zeros((0, width), np.float32))
    whole = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return Candidates(whole.pop(names.ITEM_ID).astype(np.int32), whole.pop(names.SCORE), whole)


def score(
    signature: Callable[..., dict[str, tf.Tensor]],
    queries: Queries,
    user_features: dict[str, Feature],
    catalogue: pa.Array,
    rows: np.ndarray,
) -> Candidates:
    """What the model says of given items, in the order they are given.

    Args:
      signature: the `score` of a SavedModel or of a fitted Retriever.
      queries, user_features, catalogue: as of `retrieve`.
      rows: [Q, C] catalogue rows, -1 for none.
    """
    ids = np.append(catalogue.to_numpy(zero_copy_only=False), "")[rows]  # the last place is of -1
    found, start = [], 0
    for part in batches(queries, len(catalogue)):
        exclude, items = tf.constant(raw.pad_strings(part.seen)), tf.constant(ids[start : start + len(part)])
        answer = signature(**query_tensors(part, user_features), exclude=exclude, item_id=items)
        found.append({name: value.numpy() for name, value in answer.items()})
        start += len(part)
    whole = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return Candidates(rows, whole.pop(names.SCORE), whole)


def batches(queries: Queries, n_items: int) -> Iterator[Queries]:
    """The queries, so many at once that their scores of all items fit into memory."""
    size = max(1, min(BATCH, SCORES_AT_ONCE // max(1, n_items)))
    for start in range(0, len(queries), size):
        yield queries.take(np.arange(start, min(start + size, len(queries))))


def rows_of(catalogue: pa.Array, item_ids: np.ndarray) -> np.ndarray:
    """The catalogue row of each id, in the ids' shape; -1 for an id that is not there, such as padding."""
    flat = pa.array(item_ids.ravel(), pa.binary()).cast(pa.string())
    return (
        pc.fill_null(pc.index_in(flat, value_set=catalogue), -1).to_numpy(zero_copy_only=False).reshape(item_ids.shape)
    )
