"""Retrieval for many queries: from Arrow queries to item rows and scores. NumPy and Arrow only."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from core import names
from core.queries import Candidates, Queries
from transform.arrays import pad_strings, raw_arrays
from transform.features import Feature

BATCH = 512
PAIRS = 1 << 16  # the number of pairs of a user and an item whose ratings are predicted in one call
SCORES_AT_ONCE = 16_000_000  # queries × items of a batch; with a large catalogue a batch has fewer queries


def query_arrays(queries: Queries, user_features: Mapping[str, Feature]) -> dict[str, np.ndarray]:
    """Return the raw inputs of queries, without `exclude` and `k`."""
    return {
        names.USER_ID: queries.users[names.USER_ID].to_numpy(),
        names.HISTORY: pad_strings(queries.history),
        **raw_arrays(queries.users, user_features),
    }


def retrieve(
    signature: Callable[..., Mapping[str, Any]],
    queries: Queries,
    user_features: Mapping[str, Feature],
    n_items: int,
    k: int,
) -> Candidates:
    """Return the best min(k, N) items of each query.

    Args:
      signature: the `retrieve` of a SavedModel or of a fitted RetrievalModel.
      queries: Q queries.
      user_features: the users' features.
      n_items: N, the size of the model's catalogue.
      k: the number of candidates.
    """
    width = min(k, n_items)
    parts = []
    for part in batches(queries, n_items):
        outputs = signature(**query_arrays(part, user_features), exclude=pad_strings(part.seen), k=np.int32(k))
        parts.append({name: np.asarray(value) for name, value in outputs.items() if name != names.ITEM_ID})
    if not parts:
        return Candidates(np.full((0, width), -1, np.int32), np.zeros((0, width), np.float32))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Candidates(columns.pop(names.ITEM_ROW), columns.pop(names.SCORE), columns)


def score(
    signature: Callable[..., Mapping[str, Any]],
    queries: Queries,
    user_features: Mapping[str, Feature],
    n_items: int,
    rows: np.ndarray,
    ids: np.ndarray,
) -> Candidates:
    """Return the scores and signals of given items, in the order given.

    Args:
      signature: the `score` of a SavedModel or of a fitted RetrievalModel.
      queries, user_features, n_items: as in `retrieve`.
      rows: [Q, C] item rows, -1 for none.
      ids: [Q, C] the ids of these items, "" for none.
    """
    parts, start = [], 0
    for part in batches(queries, n_items):
        items = ids[start : start + len(part)]
        outputs = signature(**query_arrays(part, user_features), exclude=pad_strings(part.seen), item_id=items)
        parts.append({name: np.asarray(value) for name, value in outputs.items()})
        start += len(part)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Candidates(rows, columns.pop(names.SCORE), columns)


def predict(model: Any, user_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray) -> np.ndarray:
    """Return the ratings [E] that a model predicts for pairs of a user and an item."""
    parts = [np.zeros(0, np.float32)]
    for start in range(0, len(user_ids), PAIRS):
        pair = {
            name: ids.slice(start, PAIRS).to_numpy()
            for name, ids in ((names.USER_ID, user_ids), (names.ITEM_ID, item_ids))
        }
        parts.append(model.signatures["predict"](**pair)[names.RATING])
    return np.concatenate(parts)


def batches(queries: Queries, n_items: int) -> Iterator[Queries]:
    """Yield the queries in batches of `BATCH` queries, or fewer so that a batch has at most `SCORES_AT_ONCE` scores."""
    size = max(1, min(BATCH, SCORES_AT_ONCE // max(1, n_items)))
    if 0 < len(queries) <= size:  # a copy would take longer than some retrievers
        yield queries
        return
    for start in range(0, len(queries), size):
        yield queries.take(np.arange(start, min(start + size, len(queries))))
