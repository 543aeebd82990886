"""Candidate lists: parts of them, inputs of a ranker, and Arrow rows for its training. NumPy and Arrow only."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from core import metrics, names
from core.queries import Candidates, Queries
from serving.catalogue import Catalogue
from transform.arrays import pad_integers, pad_strings, raw_arrays
from transform.features import Feature, raw_columns


def query_inputs(queries: Queries, user_features: Mapping[str, Feature]) -> dict[str, np.ndarray]:
    """Return the inputs of a ranking model that do not depend on candidates; see `trainer.ranking.contract`.

    Args:
      queries: Q queries.
      user_features: the features of users by column.
    Returns:
      Columns of users [Q, …], the time of the query, and the history with its times.
    """
    history = pad_strings(queries.history)
    times = np.zeros(history.shape, np.int64)
    if queries.history_time is not None:
        times = pad_integers(queries.history_time, history.shape[1])
    return {
        names.USER_ID: queries.users[names.USER_ID].to_numpy(),
        names.QUERY_TIME: queries.time,
        names.HISTORY: history,
        names.HISTORY_TIME: times,
        **raw_arrays(queries.users, user_features),
    }


def stacked_signals(candidates: Candidates) -> np.ndarray:
    """Return the retriever's signals, with retrieval_score and retrieval_rank, in the order of their names: [Q, C, S].

    Args:
      candidates: C candidates of Q queries, in the retriever's order.
    """
    return np.stack([values for _, values in sorted(_signals(candidates, None).items())], axis=2)


def candidate_table(
    queries: Queries,
    candidates: Candidates,
    catalogue: Catalogue,
    ranks: np.ndarray | None = None,
    missed: np.ndarray | None = None,
    missed_weight: float = 0.0,
) -> pa.Table:
    """Return one row per query, with the user, the history and the candidates.

    Args:
      queries: Q queries.
      candidates: C candidates each.
      catalogue: the items.
      ranks: [Q, C] the retriever's rank of each candidate, NaN for an added item; None if all are in its order.
      missed: [Q, C] whether an item is a missed item, which the retriever did not return; None if there are none.
      missed_weight: the weight of a missed item.
    Returns:
      The columns of users, query_time, history and its timestamps, and lists of C values: item_id, the item features
      (C × V values, padded with missing ones, for a feature of up to V values), retrieval_score, retrieval_rank, the
      retriever's signals, label (1.0 for a relevant item), weight, missed and rating (NaN without one). Padding has the
      item id "", missing features, score 0 and weight 0.
    """
    rows = candidates.rows
    count, width = rows.shape
    table = queries.users.append_column(names.QUERY_TIME, pa.array(queries.time))
    table = table.append_column(names.HISTORY, queries.history)
    empty = pa.array([[]] * count, pa.list_(pa.int64()))
    table = table.append_column(names.HISTORY_TIME, empty if queries.history_time is None else queries.history_time)
    raws = raw_columns(catalogue.features)
    for name in (names.ITEM_ID, *catalogue.values):
        values = catalogue.gather(name, rows)
        array = pa.array(values.ravel(), raws[name].value_type() if name in raws else pa.string())
        table = table.append_column(name, _lists(array, width * int(np.prod(values.shape[2:], dtype=int))))
    missed = np.zeros(rows.shape, bool) if missed is None else missed
    labels = metrics.hits(rows, queries.relevant_offsets, queries.relevant_items, len(catalogue))
    for name, column in (
        *_signals(candidates, ranks).items(),
        (names.LABEL, labels),
        (names.WEIGHT, (rows >= 0) * np.where(missed, missed_weight, 1.0)),
        (names.MISSED, missed),
        (names.RATING, _ratings(rows, queries, len(catalogue))),
    ):
        table = table.append_column(name, _lists(pa.array(column.ravel().astype(np.float32)), width))
    return table


def first_kept(candidates: Candidates, kept: np.ndarray, width: int) -> Candidates:
    """Return the first `width` candidates [Q, C] of each query that are kept [Q, C], in their order."""
    if kept.all() and kept.shape[1] <= width:
        return candidates
    width = min(width, max(1, int(kept.sum(axis=1).max(initial=0))))
    order = np.argsort(~kept, axis=1, kind="stable")[:, :width]
    filled = np.take_along_axis(kept, order, axis=1)

    def taken(values: np.ndarray, missing: float) -> np.ndarray:
        return np.where(filled, np.take_along_axis(values, order, axis=1), values.dtype.type(missing))

    signals = {name: taken(values, np.nan) for name, values in candidates.signals.items()}
    return Candidates(taken(candidates.rows, -1), taken(candidates.scores, -np.inf), signals)


def _signals(candidates: Candidates, ranks: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the retrieval score and rank and the retriever's signals, float32 [Q, C] each."""
    filled = candidates.rows >= 0
    in_order = np.broadcast_to(np.arange(filled.shape[1], dtype=np.float32), filled.shape)
    return {
        names.RETRIEVAL_SCORE: np.where(filled, candidates.scores, 0).astype(np.float32),
        names.RETRIEVAL_RANK: (in_order if ranks is None else ranks).astype(np.float32),
        **{name: np.where(filled, value, np.nan).astype(np.float32) for name, value in candidates.signals.items()},
    }


def _ratings(rows: np.ndarray, queries: Queries, n_items: int) -> np.ndarray:
    """Return [Q, C] the ratings of relevant items, NaN for all others."""
    ratings = np.full(rows.shape, np.nan, np.float32)
    if queries.relevant_ratings is None or not len(queries.relevant_items):
        return ratings
    owners = np.repeat(np.arange(len(queries)), np.diff(queries.relevant_offsets))
    keys = owners * n_items + queries.relevant_items
    order = np.argsort(keys)
    listed = np.arange(len(rows))[:, None] * n_items + rows
    index = np.minimum(np.searchsorted(keys[order], listed), len(keys) - 1)
    relevant = (keys[order][index] == listed) & (rows >= 0)
    ratings[relevant] = queries.relevant_ratings[order][index[relevant]]
    return ratings


def _lists(values: pa.Array, width: int) -> pa.ListArray:
    """Return values as lists of equal length."""
    offsets = np.arange(0, len(values) + 1, width, dtype=np.int32) if width else np.zeros(1, np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
