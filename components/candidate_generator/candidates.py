"""Candidate lists as Arrow rows, one a query: what the ranker learns from. Arrow and NumPy only."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from core import metrics, names
from core.queries import Candidates, Queries
from transform.features import Feature, Raw, raw_columns


def candidate_table(
    queries: Queries,
    found: Candidates,
    catalogue: pa.Table,
    features: Mapping[str, Feature],
    ranks: np.ndarray | None = None,
    missed: np.ndarray | None = None,
    missed_weight: float = 0.0,
) -> pa.Table:
    """One row a query, with the user, the history and its candidates.

    Args:
      queries: Q queries.
      found: C candidates each.
      catalogue: the items with their features.
      features: the items' features.
      ranks: [Q, C] of the candidates, NaN for none, where they do not stand in the retriever's order.
      missed: [Q, C] whether a candidate is a right answer that is not among the retriever's; by default none is.
      missed_weight: what such a one weighs.
    Returns:
      The users' columns, query_time, history and its times, and lists of C values: item_id, the item features (C × V
      values, padded with missing ones, where an item has up to V), retrieval_score, retrieval_rank, the retriever's
      signals, label (1.0 for a right answer), weight, missed and rating (NaN where there is none). Padding has the
      item id "", missing features, the score and the weight 0.
    """
    rows = found.rows
    count, width = rows.shape
    filled = rows >= 0
    flat = np.where(filled, rows, 0).ravel()
    absent = ~filled.ravel()
    table = queries.users.append_column(names.QUERY_TIME, pa.array(queries.time))
    table = table.append_column(names.HISTORY, queries.history)
    nothing = pa.array([[]] * count, pa.list_(pa.int64()))
    table = table.append_column(names.HISTORY_TIME, nothing if queries.history_time is None else queries.history_time)
    table = table.append_column(names.ITEM_ID, _lists(_strings(catalogue[names.ITEM_ID], flat, absent), width))
    for name, raw in raw_columns(features).items():
        values = _values(catalogue[name], raw)[flat]
        values[absent] = np.nan if raw.numbers else ""
        values = pa.array(values.ravel(), pa.float32() if raw.numbers else pa.string())
        table = table.append_column(name, _lists(values, width * (raw.values or 1)))
    missed = np.zeros(rows.shape, bool) if missed is None else missed
    in_order = np.broadcast_to(np.arange(width, dtype=np.float32), (count, width))
    for name, values in (
        (names.RETRIEVAL_SCORE, np.where(filled, found.scores, 0)),
        (names.RETRIEVAL_RANK, in_order if ranks is None else ranks),
        *((name, np.where(filled, values, np.nan)) for name, values in found.signals.items()),
        (names.LABEL, metrics.hits(rows, queries.relevant_offsets, queries.relevant_items, catalogue.num_rows)),
        (names.WEIGHT, filled * np.where(missed, missed_weight, 1.0)),
        (names.MISSED, missed),
        (names.RATING, _ratings(rows, queries, catalogue.num_rows)),
    ):
        table = table.append_column(name, _lists(pa.array(values.ravel().astype(np.float32)), width))
    return table


def held_out(user_ids: pa.ChunkedArray, share: float, seed: int) -> np.ndarray:
    """[Q] whether a query is held out to choose the ranker by: all queries of a random share of the users."""
    users = user_ids.combine_chunks().dictionary_encode()
    chosen = np.random.default_rng(seed).random(len(users.dictionary)) < share
    return chosen[users.indices.to_numpy()]


def report(labels: np.ndarray, queries: Queries) -> dict[str, float]:
    """How many queries have a right answer among their candidates, and the share of right answers that do."""
    right = labels.sum(axis=1)
    answers = np.diff(queries.relevant_offsets)
    return {
        "queries": len(queries),
        "with_a_positive": int((right > 0).sum()),
        "positives": int(right.sum()),
        "positives_missed": int(answers.sum() - right.sum()),
    }


def _ratings(rows: np.ndarray, queries: Queries, n_items: int) -> np.ndarray:
    """[Q, C] how the right answers were rated; NaN of all others."""
    found = np.full(rows.shape, np.nan, np.float32)
    if queries.relevant_ratings is None or not len(queries.relevant_items):
        return found
    owners = np.repeat(np.arange(len(queries)), np.diff(queries.relevant_offsets))
    keys = owners * n_items + queries.relevant_items
    order = np.argsort(keys)
    asked = np.arange(len(rows))[:, None] * n_items + rows
    place = np.minimum(np.searchsorted(keys[order], asked), len(keys) - 1)
    right = (keys[order][place] == asked) & (rows >= 0)
    found[right] = queries.relevant_ratings[order][place[right]]
    return found


def _values(column: pa.ChunkedArray, raw: Raw) -> np.ndarray:
    """[N] or [N, V] of a raw column, missing ones filled."""
    if raw.values is not None:
        return _padded(column, raw.values, raw.numbers)
    if raw.numbers:
        return np.asarray(column.to_numpy(), np.float32)
    return column.combine_chunks().fill_null("").to_numpy(zero_copy_only=False)


def _strings(column: pa.ChunkedArray, rows: np.ndarray, absent: np.ndarray) -> pa.Array:
    values = column.combine_chunks().fill_null("").to_numpy(zero_copy_only=False)[rows]
    values[absent] = ""
    return pa.array(values, pa.string())


def _padded(column: pa.ChunkedArray, width: int, numbers: bool) -> np.ndarray:
    lists = column.combine_chunks()
    lengths = np.minimum(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), width)
    shape = (len(lists), width)
    padded: np.ndarray = np.full(shape, np.nan, np.float32) if numbers else np.full(shape, "", object)
    offsets = lists.offsets.to_numpy()[:-1]
    place = np.arange(width) < lengths[:, None]
    values = lists.values.to_numpy(zero_copy_only=False)
    padded[place] = values[(offsets[:, None] + np.arange(width))[place]]
    return padded


def _lists(values: pa.Array, width: int) -> pa.ListArray:
    offsets = np.arange(0, len(values) + 1, width, dtype=np.int32) if width else np.zeros(1, np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
