"""Queries to a retriever or to both steps, with their relevant items.

The candidate generator retrieves candidates for these queries, and the evaluators measure models on them.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import names
from core.arrow import read_arrow
from core.errors import DataError


@dataclass(frozen=True)
class Queries:
    """Q queries over a catalogue of N items.

    Args:
      users: [Q] the ids and features of the users, one column each.
      time: [Q] int64 timestamps.
      history: [Q] list of item ids, oldest first, at most `history_length` of `build`.
      seen: [Q] list of item ids that may not be returned; empty where repeats are allowed.
      relevant_offsets, relevant_items: the relevant items as CSR: [Q + 1] int64, and [nnz] int32 item rows without
        duplicates within a query.
      history_time: [Q] list of int64, the timestamps of the history; None if unknown.
      relevant_ratings: [nnz] float32, the ratings of the relevant items; None where events have no ratings.
    """

    users: pa.Table
    time: np.ndarray
    history: pa.ListArray
    seen: pa.ListArray
    relevant_offsets: np.ndarray
    relevant_items: np.ndarray
    history_time: pa.ListArray | None = None
    relevant_ratings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: np.ndarray) -> "Queries":
        """Return the queries at `rows`."""
        counts = np.diff(self.relevant_offsets)[rows]
        offsets = np.r_[0, np.cumsum(counts)]
        members = (
            np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts) + np.repeat(self.relevant_offsets[rows], counts)
        )
        index = pa.array(rows)
        return Queries(
            self.users.take(index), self.time[rows], self.history.take(index), self.seen.take(index),
            offsets, self.relevant_items[members],
            None if self.history_time is None else self.history_time.take(index),
            None if self.relevant_ratings is None else self.relevant_ratings[members],
        )  # fmt: skip


@dataclass(frozen=True)
class Candidates:
    """The candidates of Q queries.

    Args:
      rows: [Q, C] int32 item rows, best first, -1 for padding.
      scores: [Q, C] float32, -inf for padding.
      signals: name → [Q, C] float32, the signals of the members of a fusion; empty for other retrievers.
    """

    rows: np.ndarray
    scores: np.ndarray
    signals: dict[str, np.ndarray] = field(default_factory=dict)

    def take(self, rows: np.ndarray) -> "Candidates":
        """Return the candidates of the queries at `rows`."""
        signals = {name: values[rows] for name, values in self.signals.items()}
        return Candidates(self.rows[rows], self.scores[rows], signals)


def build(
    past: pa.Table,
    target: pa.Table,
    catalogue: pa.Array,
    unit: str,
    user_columns: list[str],
    history_length: int,
    exclude_seen: bool,
    max_queries: int | None = None,
    seed: int = 0,
    in_time: bool = True,
    left_out: pa.Table | None = None,
) -> Queries:
    """Build queries from the events of a split, with histories from `past` events and earlier targets.

    Args:
      past: events before the target split: user_id, item_id, timestamp and `user_columns`; rating if events have one.
      target: events of the split that queries are built from, with the same columns.
      catalogue: [N] item ids.
      unit: `user`: one query per user at their first target event, with all their target items relevant;
        `event`: one query per event, with the user's strictly earlier events as history.
      user_columns: columns of `Queries.users`, user_id among them.
      history_length: the maximum number of items in a history.
      exclude_seen: whether items of earlier events may not be returned and are not relevant.
      max_queries: the size of a random sample of the queries; None for all.
      seed: the seed of the sample.
      in_time: whether each user's past events are earlier than the user's targets; then no history has an event of the
        query's second or later.
      left_out: events in no split: user_id, item_id, timestamp. Those before the user's first target are in the
        history. Those in the same second as that target are in no history, but their items are seen items, so that
        these are neither returned nor relevant if `exclude_seen`.
    Raises:
      DataError: an event's item is not in the catalogue; or `in_time` is true, and a past event is not earlier than all
        targets of its user.
    """
    rated = names.RATING in past.column_names and names.RATING in target.column_names
    columns = [names.USER_ID, names.ITEM_ID, names.TIMESTAMP, *([names.RATING] if rated else [])]
    in_no_split = _until_first_target(left_out, target)
    events = pa.concat_tables(
        [past.select(columns), in_no_split, target.select(columns)], promote_options="default"
    ).combine_chunks()
    item = catalogue_rows(catalogue, events[names.ITEM_ID])
    user = pc.dictionary_encode(events[names.USER_ID].combine_chunks()).indices.to_numpy()
    row = np.arange(len(events))
    first_target = past.num_rows + in_no_split.num_rows
    is_target = row >= first_target
    of_split = is_target | (row < past.num_rows)
    time = events[names.TIMESTAMP].to_numpy()
    order = np.lexsort((time, is_target, user))  # by user: past events by time, then target events by time
    user, item, time, is_target = user[order], item[order], time[order], is_target[order]
    if in_time:
        of_split = of_split[order]
        _check_order(user[of_split], time[of_split], is_target[of_split])

    start = first_of_run(user)
    if unit == "user":
        query = np.flatnonzero(is_target & ~np.r_[False, is_target[:-1] & (user[1:] == user[:-1])])
        known_end = query
        relevant_end = np.searchsorted(user, user[query], side="right")
    else:
        query = np.flatnonzero(is_target)
        # A user's targets are sorted after the past events, so all earlier events precede the first target of the
        # query's second.
        known_end = first_of_run(user, time, is_target)[query]
        relevant_end = query + 1
    if max_queries is not None and len(query) > max_queries:
        sample = np.sort(np.random.default_rng(seed).choice(len(query), max_queries, replace=False))
        query, known_end, relevant_end = query[sample], known_end[sample], relevant_end[sample]

    history_end = known_end
    if in_time and len(query):
        last = np.maximum(known_end - 1, 0)
        same_second = (known_end > start[query]) & (time[last] == time[query])
        history_end = np.where(same_second, first_of_run(user, time)[last], known_end)
    oldest = history_end - np.minimum(history_end - start[query], history_length)
    ids = functools.partial(_lists, lambda members: catalogue.take(pa.array(item[members])))
    history = ids(oldest, history_end)
    history_time = _lists(lambda members: pa.array(time[members]), oldest, history_end)
    seen = ids(start[query], known_end if exclude_seen else start[query])
    offsets, members = _relevant(item, query, relevant_end, start[query], known_end, exclude_seen, len(catalogue))
    users = target.select(user_columns).take(pa.array(order[query] - first_target))
    ratings = None
    if rated:
        of_events = events[names.RATING].to_numpy()[order].astype(np.float32)
        ratings = _ratings(of_events, item, query, relevant_end, offsets, members, len(catalogue))
    return Queries(users, time[query], history, seen, offsets, members, history_time, ratings)


def _until_first_target(left_out: pa.Table | None, target: pa.Table) -> pa.Table:
    """Return the events in no split that are not later than the first target event of their user."""
    if left_out is None or not left_out.num_rows:
        none: list[str] = []
        return pa.table({names.USER_ID: pa.array(none, pa.string())})
    left_out = left_out.select([names.USER_ID, names.ITEM_ID, names.TIMESTAMP])
    first = target.group_by([names.USER_ID]).aggregate([(names.TIMESTAMP, "min")])
    row = pc.index_in(left_out[names.USER_ID].combine_chunks(), value_set=first[names.USER_ID].combine_chunks())
    until = first[f"{names.TIMESTAMP}_min"].combine_chunks().take(row)
    return left_out.filter(pc.fill_null(pc.less_equal(left_out[names.TIMESTAMP].combine_chunks(), until), False))


def read_left_out(uri: str | Path) -> pa.Table | None:
    """Return the events in no split, which EventJoiner writes beside its Examples; None without any."""
    files = sorted((Path(uri) / names.LEFT_OUT_FOLDER).glob("*.arrow"))
    return pa.concat_tables([read_arrow(file) for file in files]) if files else None


def _check_order(user: np.ndarray, time: np.ndarray, is_target: np.ndarray) -> None:
    """Check that past events are earlier than all targets of their user.

    Raises:
      DataError: a past event is not earlier.
    """
    last = np.flatnonzero(~is_target[:-1] & is_target[1:] & (user[:-1] == user[1:]))
    later = last[time[last] >= time[last + 1]]
    if len(later):
        raise DataError(
            "the joined events",
            f"past event of timestamp {time[later[0]]}",
            f"is not earlier than a target of its user, of {time[later[0] + 1]} ({len(later):,} such users)",
            "Split each user's events by time, those of one second together.",
        )


def catalogue_rows(catalogue: pa.Array, item_ids: pa.ChunkedArray) -> np.ndarray:
    """Return [E] int32, the catalogue row of each item id.

    Args:
      catalogue: [N] item ids.
      item_ids: [E] item ids.
    Raises:
      DataError: an item is not in the catalogue.
    """
    rows = pc.index_in(item_ids.combine_chunks(), value_set=catalogue)
    if rows.null_count:
        first = item_ids.filter(rows.is_null())[0]
        raise DataError(
            "the joined events",
            f"item {first}",
            f"is not in the catalogue of {len(catalogue):,} items ({rows.null_count:,} such events)",
            "Join the events and build the catalogue from the same items table.",
        )
    return rows.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)


def ranges(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for all indices of the ranges [start, end) in sequence, the number of their range, and the indices."""
    lengths = ends - starts
    owner = np.repeat(np.arange(len(starts), dtype=np.int64), lengths)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(starts, lengths)


def check_list_length(length: int, n_items: int, key: str) -> None:
    """Check that the catalogue has at least `length` items; `key` is the setting of the length. Raises: DataError."""
    if length > n_items:
        raise DataError(
            names.ITEMS,
            "the catalogue",
            f"{n_items:,} items, fewer than `{key}`, which is {length:,}",
            f"Set `{key}` to at most {n_items:,}, or check that the items table is complete.",
        )


def _relevant(item, first, relevant_end, start, known_end, exclude_seen, n_items):
    """Return the relevant items of each query as CSR, each item once, and without items that may not be returned.

    Args:
      item: [E] item rows of the sorted events.
      first, relevant_end: [Q] the range of events of each query whose items are relevant.
      start, known_end: [Q] the range of events before each query, whose items are seen items.
      exclude_seen: whether seen items may not be returned.
      n_items: the size of the catalogue.
    """
    query, event = ranges(first, relevant_end)
    pairs = np.unique(query * n_items + item[event])
    if exclude_seen:
        query, event = ranges(start, known_end)
        pairs = np.setdiff1d(pairs, query * n_items + item[event], assume_unique=False)
    offsets = np.searchsorted(pairs, np.arange(len(first) + 1) * n_items)
    return offsets.astype(np.int64), (pairs % n_items).astype(np.int32)


def _ratings(ratings, item, first, relevant_end, offsets, members, n_items) -> np.ndarray:
    """Return [nnz] the latest rating of each relevant item among the events of the query's range [first, relevant_end).

    Args:
      ratings, item: [E] the rating and item row of each sorted event.
      first, relevant_end, n_items: as for `_relevant`.
      offsets, members: the relevant items as CSR.
    """
    query, event = ranges(first, relevant_end)
    keys = query * n_items + item[event]
    order = np.argsort(keys, kind="stable")
    relevant = np.repeat(np.arange(len(first)), np.diff(offsets)) * n_items + members
    return ratings[event[order]][np.searchsorted(keys[order], relevant, side="right") - 1]


def _lists(values: Callable[[np.ndarray], pa.Array], starts: np.ndarray, ends: np.ndarray) -> pa.ListArray:
    """Return one list per range [start, end) of events; `values` returns the values of events by their numbers."""
    _, members = ranges(starts, ends)
    offsets = np.r_[0, np.cumsum(ends - starts)].astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values(members))


def first_of_run(*keys: np.ndarray) -> np.ndarray:
    """Return [N] the first index of each row's run of rows with equal keys."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    changed = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    first = np.flatnonzero(np.r_[True, changed])
    return np.repeat(first, np.diff(np.r_[first, len(keys[0])]))
