"""Queries: what a retriever or a whole recommender is asked, and which items would have been right.

The same queries are what the candidate generator retrieves for and what the evaluators judge.
"""

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
    """Q queries over a catalogue of N items; an item is its row in the catalogue.

    Args:
      users: [Q] the users' ids and features, a column each.
      time: [Q] int64, when each is asked.
      history: [Q] list of item ids, oldest first, at most as long as the history of an event.
      seen: [Q] list of item ids that may not be returned; empty where repeats are allowed.
      relevant_offsets, relevant_items: the right answers as CSR: [Q + 1] int64, [nnz] int32 catalogue rows, none twice.
      history_time: [Q] list of int64, when the events of the history were; None where nobody knows.
      relevant_ratings: [nnz] float32, how the right answers were rated; None where events have no ratings.
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
        """The queries at `rows`."""
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
    """What a retriever answers to Q queries.

    Args:
      rows: [Q, C] int32 catalogue rows, best first, -1 past the last item that may be returned.
      scores: [Q, C] float32, -inf past the last.
      signals: name → [Q, C] float32; what the models that it is made of say of each, where it is made of such.
    """

    rows: np.ndarray
    scores: np.ndarray
    signals: dict[str, np.ndarray] = field(default_factory=dict)

    def take(self, rows: np.ndarray) -> "Candidates":
        """Those of the queries at `rows`."""
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
    """The queries that `target` events ask, answered by what was known from `past` events and earlier targets.

    Args:
      past: events before the target split: user_id, item_id, timestamp and `user_columns`; rating where there are any.
      target: events of the split that is asked about, the same columns.
      catalogue: [N] item ids.
      unit: `user`: one query a user at their first target event, all their target items right;
        `event`: one query an event, with the user's strictly earlier events.
      user_columns: columns to carry, user_id among them.
      history_length: the most items in a history.
      exclude_seen: whether items of earlier events may not be returned, and are not right answers.
      max_queries: a random sample of this many, when there are more.
      seed: of the sample.
      in_time: whether the splits of a user follow each other in time, as all do but those of published tables; then
        no history holds an event of the second of its query or of a later one.
      left_out: events of no split: user_id, item_id, timestamp. Those before a user's first query are known to it;
        those of its very second are in no history, but count as seen, so that no list is blamed for them.
    Raises:
      DataError: an event's item is not in the catalogue, or `in_time` and a past event is not earlier than all targets
        of its user.
    """
    rated = names.RATING in past.column_names and names.RATING in target.column_names
    columns = [*user_columns, names.ITEM_ID, names.TIMESTAMP, *([names.RATING] if rated else [])]
    beside = _until_asked(left_out, target)
    events = pa.concat_tables(
        [past.select(columns), beside, target.select(columns)], promote_options="default"
    ).combine_chunks()
    item = catalogue_rows(catalogue, events[names.ITEM_ID])
    user = pc.dictionary_encode(events[names.USER_ID].combine_chunks()).indices.to_numpy()
    place = np.arange(len(events))
    is_target = place >= past.num_rows + beside.num_rows
    of_split = is_target | (place < past.num_rows)
    time = events[names.TIMESTAMP].to_numpy()
    order = np.lexsort((time, is_target, user))  # of one user: the past in time, then the targets in time
    user, item, time, is_target = user[order], item[order], time[order], is_target[order]
    if in_time:
        of_split = of_split[order]
        _refuse_later_past(user[of_split], time[of_split], is_target[of_split])

    start = first_of_run(user)
    if unit == "user":
        asked = np.flatnonzero(is_target & ~np.r_[False, is_target[:-1] & (user[1:] == user[:-1])])
        known_end = asked
        answer_end = np.searchsorted(user, user[asked], side="right")
    else:
        asked = np.flatnonzero(is_target)
        # Of one user the targets follow the past, so "earlier" is all before the first event of the same second.
        known_end = first_of_run(user, time, is_target)[asked]
        answer_end = asked + 1
    if max_queries is not None and len(asked) > max_queries:
        chosen = np.sort(np.random.default_rng(seed).choice(len(asked), max_queries, replace=False))
        asked, known_end, answer_end = asked[chosen], known_end[chosen], answer_end[chosen]

    items = events[names.ITEM_ID].combine_chunks().take(pa.array(order))
    history_end = known_end
    if in_time and len(asked):
        last = np.maximum(known_end - 1, 0)
        same_second = (known_end > start[asked]) & (time[last] == time[asked])
        history_end = np.where(same_second, first_of_run(user, time)[last], known_end)
    oldest = history_end - np.minimum(history_end - start[asked], history_length)
    history = _lists(items, oldest, history_end)
    history_time = _lists(pa.array(time), oldest, history_end)
    seen = _lists(items, start[asked], known_end if exclude_seen else start[asked])
    offsets, members = _unique_answers(item, asked, answer_end, start[asked], known_end, exclude_seen, len(catalogue))
    users = events.select(user_columns).take(pa.array(order[asked]))
    ratings = None
    if rated:
        given = events[names.RATING].to_numpy()[order].astype(np.float32)
        ratings = _ratings(given, item, asked, answer_end, offsets, members, len(catalogue))
    return Queries(users, time[asked], history, seen, offsets, members, history_time, ratings)


def _until_asked(left_out: pa.Table | None, target: pa.Table) -> pa.Table:
    """Return the events of no split that are not later than their user's first target event."""
    if left_out is None or not left_out.num_rows:
        none: list[str] = []
        return pa.table({names.USER_ID: pa.array(none, pa.string())})
    left_out = left_out.select([names.USER_ID, names.ITEM_ID, names.TIMESTAMP])
    first = target.group_by([names.USER_ID]).aggregate([(names.TIMESTAMP, "min")])
    row = pc.index_in(left_out[names.USER_ID].combine_chunks(), value_set=first[names.USER_ID].combine_chunks())
    until = first[f"{names.TIMESTAMP}_min"].combine_chunks().take(row)
    return left_out.filter(pc.fill_null(pc.less_equal(left_out[names.TIMESTAMP].combine_chunks(), until), False))


def read_left_out(uri: str | Path) -> pa.Table | None:
    """Return the events of no split that EventJoiner has kept beside its Examples; None where there are none."""
    files = sorted((Path(uri) / names.LEFT_OUT_FOLDER).glob("*.arrow"))
    return pa.concat_tables([read_arrow(file) for file in files]) if files else None


def _refuse_later_past(user: np.ndarray, time: np.ndarray, is_target: np.ndarray) -> None:
    """Refuse a past event that is as late as the first target of its user, or later.

    Raises:
      DataError: there is one.
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
    """[E] int32, the catalogue row of each event's item.

    Args:
      catalogue: [N] item ids.
      item_ids: [E] item ids.
    Raises:
      DataError: an item is not in the catalogue.
    """
    found = pc.index_in(item_ids.combine_chunks(), value_set=catalogue)
    if found.null_count:
        first = item_ids.filter(found.is_null())[0]
        raise DataError(
            "the joined events",
            f"item {first}",
            f"is not in the catalogue of {len(catalogue):,} items ({found.null_count:,} such events)",
            "Make the join and the catalogue from the same items.",
        )
    return found.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)


def ranges(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All indices of the ranges [start, end), each with the number of its range."""
    lengths = ends - starts
    owner = np.repeat(np.arange(len(starts), dtype=np.int64), lengths)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(starts, lengths)


def check_list_length(length: int, n_items: int, key: str) -> None:
    """Raises: DataError when lists of `length`, the configuration's `key`, are longer than the catalogue."""
    if length > n_items:
        raise DataError(
            names.ITEMS,
            "the catalogue",
            f"{n_items:,} items, fewer than `{key}`, which is {length:,}",
            f"Set `{key}` to at most {n_items:,}, or check that the items table is whole.",
        )


def _unique_answers(item, asked, answer_end, start, known_end, exclude_seen, n_items):
    """CSR of each query's right items: no item twice, and none that may not be returned."""
    query, member = ranges(asked, answer_end)
    pairs = np.unique(query * n_items + item[member])
    if exclude_seen:
        query, member = ranges(start, known_end)
        pairs = np.setdiff1d(pairs, query * n_items + item[member], assume_unique=False)
    offsets = np.searchsorted(pairs, np.arange(len(asked) + 1) * n_items)
    return offsets.astype(np.int64), (pairs % n_items).astype(np.int32)


def _ratings(given, item, asked, answer_end, offsets, members, n_items) -> np.ndarray:
    """[nnz] how each right answer was rated, the last time it was."""
    query, event = ranges(asked, answer_end)
    keys = query * n_items + item[event]
    order = np.argsort(keys, kind="stable")
    wanted = np.repeat(np.arange(len(asked)), np.diff(offsets)) * n_items + members
    return given[event[order]][np.searchsorted(keys[order], wanted, side="right") - 1]


def _lists(items: pa.Array, starts: np.ndarray, ends: np.ndarray) -> pa.ListArray:
    _, members = ranges(starts, ends)
    offsets = np.r_[0, np.cumsum(ends - starts)].astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), items.take(pa.array(members)))


def first_of_run(*keys: np.ndarray) -> np.ndarray:
    """Return for each row [N] the first index of the run of rows with equal keys that it stands in."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    changed = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    first = np.flatnonzero(np.r_[True, changed])
    return np.repeat(first, np.diff(np.r_[first, len(keys[0])]))
