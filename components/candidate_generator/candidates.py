"""Candidate lists as Arrow rows, one a query: what the ranker learns from. Arrow and NumPy only."""

import numpy as np
import pyarrow as pa

from core import metrics, names
from core.queries import Queries


def candidate_table(
    queries: Queries, rows: np.ndarray, scores: np.ndarray, catalogue: pa.Table, features: dict[str, dict]
) -> pa.Table:
    """One row a query, with the user, the history and its candidates in the retriever's order.

    Args:
      queries: Q queries.
      rows: [Q, C] catalogue rows, -1 for padding.
      scores: [Q, C] retrieval scores.
      catalogue: the items with their features.
      features: item feature → settings with its `kind`, and `max_values` of a multi-valued one.
    Returns:
      The users' columns, query_time, history, and lists of C values: item_id, the item features (C × max_values
      strings, padded with "", for a multi-valued one), retrieval_score, retrieval_rank, label (1.0 for a right answer),
      weight (0.0 for padding). Padding has the item id "", missing features and the score 0.
    """
    count, width = rows.shape
    filled = rows >= 0
    flat = np.where(filled, rows, 0).ravel()
    absent = ~filled.ravel()
    table = queries.users.append_column(names.QUERY_TIME, pa.array(queries.time))
    table = table.append_column(names.HISTORY, queries.history)
    table = table.append_column(names.ITEM_ID, _lists(_strings(catalogue[names.ITEM_ID], flat, absent), width))
    for name, settings in features.items():
        if settings["kind"] == "numeric":
            column = np.asarray(catalogue[name].to_numpy(), np.float32)[flat]
            values, size = pa.array(np.where(absent, np.float32(np.nan), column), pa.float32()), width
        elif settings["kind"] == "categorical":
            values, size = _strings(catalogue[name], flat, absent), width
        else:
            size = width * settings["max_values"]
            padded = _padded(catalogue[name], settings["max_values"])[flat]
            padded[absent] = ""
            values = pa.array(padded.ravel(), pa.string())
        table = table.append_column(name, _lists(values, size))
    ranks = np.broadcast_to(np.arange(width, dtype=np.float32), (count, width))
    labels = metrics.hits(rows, queries.relevant_offsets, queries.relevant_items, catalogue.num_rows)
    for name, values in (
        (names.RETRIEVAL_SCORE, np.where(filled, scores, 0)),
        (names.RETRIEVAL_RANK, ranks),
        (names.LABEL, labels),
        (names.WEIGHT, filled),
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


def _strings(column: pa.ChunkedArray, rows: np.ndarray, absent: np.ndarray) -> pa.Array:
    values = column.combine_chunks().fill_null("").to_numpy(zero_copy_only=False)[rows]
    values[absent] = ""
    return pa.array(values, pa.string())


def _padded(column: pa.ChunkedArray, width: int) -> np.ndarray:
    lists = column.combine_chunks()
    lengths = np.minimum(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), width)
    padded = np.full((len(lists), width), "", object)
    offsets = lists.offsets.to_numpy()[:-1]
    place = np.arange(width) < lengths[:, None]
    values = lists.values.to_numpy(zero_copy_only=False)
    padded[place] = values[(offsets[:, None] + np.arange(width))[place]]
    return padded


def _lists(values: pa.Array, width: int) -> pa.ListArray:
    offsets = np.arange(0, len(values) + 1, width, dtype=np.int32) if width else np.zeros(1, np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
