"""The point-in-time join: each event with its user, its item and the user's earlier events. Arrow and NumPy only."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.event_joiner import splits
from core import names
from core.errors import DataError

ROWS_A_SHARD = 500_000
# An event's history weighs far more than the event: the histories of a shard must fit into memory, and into one Arrow
# array of strings, which holds 2 GB.
MEMBERS_A_SHARD = 50_000_000


@dataclass(frozen=True)
class JoinSpec:
    """How events are joined and split.

    Args:
      history_length: the most items in an event's history.
      method, eval_share, test_share: the split; see `components.event_joiner.splits`.
      cut: the two global times, for the method `temporal`.
      seed: of the methods that draw.
      fold: (i, n), for the method `kfold`.
      column: where the events say their split, for the method `given`; the joined events have it no more.
      has_eval: whether any of them is eval.
      drop_unknown: whether events of unknown users or items are dropped and counted, or are an error.
    """

    history_length: int
    method: str
    eval_share: float
    test_share: float
    cut: tuple[int, int] | None = None
    seed: int = 0
    fold: tuple[int, int] | None = None
    column: str | None = None
    has_eval: bool = False
    drop_unknown: bool = False


def shards_of(rows: int, history_length: int) -> int:
    """Into how many shards of users so many events are divided."""
    return max(1, -(-rows // min(ROWS_A_SHARD, max(1, MEMBERS_A_SHARD // history_length))))


def join(
    events: pa.Table, users: pa.Table, items: pa.Table, spec: JoinSpec
) -> tuple[pa.Table, np.ndarray, dict[str, int]]:
    """Join the events of some users, who must be complete: all their events are here.

    Args:
      events: user_id, item_id, timestamp and more, in any order; ties in time keep this order.
      users: user_id and the user features.
      items: item_id and the item features.
      spec: how.
    Returns:
      The joined events sorted by user and time, with the column `history`; [N] their splits; what was dropped, by
      reason.
    Raises:
      DataError: an event names a user or item that no table has, and the spec does not drop it.
      ValueError: the method is unknown, or needs what the spec does not hold.
    """
    events, user_row, item_row, dropped = known_rows(names.INTERACTIONS, events, users, items, spec.drop_unknown)
    time = events[names.TIMESTAMP].to_numpy()
    order = np.lexsort((time, user_row))
    events, user_row, item_row, time = events.take(order), user_row[order], item_row[order], time[order]

    starts, counts = runs(user_row)
    split = _split(spec, events, time, starts, counts)
    offsets, members = history_rows(user_row, time, split, spec.history_length)
    joined = events.drop_columns([spec.column]) if spec.column else events
    for table, rows, key in ((users, user_row, names.USER_ID), (items, item_row, names.ITEM_ID)):
        features = table.drop_columns([key]).take(pa.array(rows))
        for name in features.column_names:
            joined = joined.append_column(name, features[name])
    item_ids = joined[names.ITEM_ID].combine_chunks()
    listed = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), item_ids.take(pa.array(members)))
    joined = joined.append_column(names.HISTORY, listed)
    return joined, split, dropped


def known_rows(
    table: str, events: pa.Table, users: pa.Table, items: pa.Table, drop_unknown: bool
) -> tuple[pa.Table, np.ndarray, np.ndarray, dict[str, int]]:
    """The events whose user and item are known, with the row of each in `users` and in `items`.

    Args:
      table: interactions or exposures.
      events: user_id, item_id, timestamp and more.
      users, items: with their ids.
      drop_unknown: whether the others are dropped and counted, or are an error.
    Returns:
      The events, [N] the rows of their users, [N] those of their items; what was dropped, by reason.
    Raises:
      DataError: an event's user or item is not known, and it is not to be dropped.
    """
    user_row, item_row = _rows(events, users, names.USER_ID), _rows(events, items, names.ITEM_ID)
    known = (user_row >= 0) & (item_row >= 0)
    dropped = {
        "unknown_user": int((user_row < 0).sum()),
        "unknown_item": int(((item_row < 0) & (user_row >= 0)).sum()),
    }
    if not known.all():
        if not drop_unknown:
            _refuse_unknown(table, events, user_row, item_row)
        events, user_row, item_row = events.filter(pa.array(known)), user_row[known], item_row[known]
    return events, user_row, item_row, {reason: n for reason, n in dropped.items() if n}


def runs(sorted_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For keys that are grouped together: [N] the first index of each one's group, [N] its size."""
    if not len(sorted_keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])
    sizes = np.diff(np.r_[first, len(sorted_keys)])
    return np.repeat(first, sizes), np.repeat(sizes, sizes)


def history_rows(users: np.ndarray, time: np.ndarray, split: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The events before each event, events sorted by user and time.

    An event of the same second is not earlier, so it is no part of the history: nobody knows their order. Nor is one of
    a later split, which a split that is no cut in time may put before it: train must not learn from test.

    Returns:
      Offsets [N + 1] and the members, as event indices, oldest first: at most `length` of one user.
    """
    first, lengths = np.zeros((2, len(users)), dtype=np.int64)
    visible: list[np.ndarray] = []  # the events of this and earlier splits, one split after the other
    base = 0
    for index in range(len(splits.SPLITS)):
        seen = np.flatnonzero(split <= index)
        starts, _ = runs(users[seen])
        before, _ = runs(_group_ids(users[seen], time[seen]))
        own = split[seen] == index
        lengths[seen[own]] = np.minimum(before - starts, length)[own]
        first[seen[own]] = base + before[own] - lengths[seen[own]]
        visible.append(seen)
        base += len(seen)
    offsets = np.r_[0, np.cumsum(lengths)]
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(first, lengths)
    return offsets, np.concatenate(visible)[places]


def user_states(joined: pa.Table, users: pa.Table, history_length: int) -> pa.Table:
    """Each user as of now: features, latest items (`history`, oldest first), their times, all items met (`exclude`)."""
    rows = _rows(joined, users, names.USER_ID)
    counts = np.bincount(rows, minlength=users.num_rows)
    order = np.argsort(rows, kind="stable")
    ends = np.cumsum(counts)
    items = joined[names.ITEM_ID].combine_chunks().take(pa.array(order))
    kept = np.minimum(counts, history_length)
    offsets = np.r_[0, np.cumsum(kept)]
    members = np.arange(offsets[-1]) - np.repeat(offsets[:-1], kept) + np.repeat(ends - kept, kept)
    latest = pa.array(members)
    history = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items.take(latest))
    times = joined[names.TIMESTAMP].combine_chunks().take(pa.array(order)).take(latest)
    history_time = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), times)
    seen = pa.ListArray.from_arrays(pa.array(np.r_[0, ends], pa.int32()), items)
    for name, column in ((names.HISTORY, history), (names.HISTORY_TIME, history_time), (names.EXCLUDE, seen)):
        users = users.append_column(name, column)
    return users


def event_counts(item_ids: pa.ChunkedArray) -> pa.Table:
    """How many of some events each of their items has: item_id and event_count."""
    counts = item_ids.value_counts()
    return pa.table({names.ITEM_ID: counts.field(0), names.EVENT_COUNT: counts.field(1)})


def counts_of(item_ids: pa.ChunkedArray, counts: pa.Table) -> pa.Array:
    """[N] int64 the sums of `event_counts`, of one part or several, for the items of a catalogue.

    Args:
      item_ids: [N] of the catalogue, each once.
      counts: of items that are all among them.
    """
    rows = pc.index_in(counts[names.ITEM_ID].combine_chunks(), value_set=item_ids.combine_chunks()).to_numpy()
    return pa.array(np.bincount(rows, counts[names.EVENT_COUNT].to_numpy(), len(item_ids)).astype(np.int64))


def _rows(table: pa.Table, keyed: pa.Table, key: str) -> np.ndarray:
    """[N] the row in `keyed` of each row of `table`, -1 where there is none."""
    found = pc.index_in(table[key].combine_chunks(), value_set=keyed[key].combine_chunks())
    return pc.fill_null(found, -1).to_numpy(zero_copy_only=False)


def _group_ids(users: np.ndarray, time: np.ndarray) -> np.ndarray:
    if not len(users):
        return np.zeros(0, np.int64)
    return np.cumsum(np.r_[False, (users[1:] != users[:-1]) | (time[1:] != time[:-1])])


def _split(spec: JoinSpec, events: pa.Table, time: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    def drawn(seed: int) -> np.ndarray:
        users, items = (events[key].combine_chunks() for key in (names.USER_ID, names.ITEM_ID))
        return splits.shares(seed, users, items, time)

    match spec.method:
        case "temporal" if spec.cut is not None:
            return splits.temporal(time, spec.cut)
        case "temporal":
            raise ValueError("a temporal split should have a cut, two times; found None. Take it from `splits.cuts`")
        case "temporal_per_user":
            return splits.temporal_per_user(starts, counts, spec.eval_share, spec.test_share)
        case "leave_one_out":
            return splits.leave_one_out(starts, counts)
        case "random":
            return splits.random(drawn(spec.seed), spec.eval_share, spec.test_share)
        case "kfold" if spec.fold is not None:
            return splits.kfold(drawn(spec.seed), drawn(spec.seed + 1), *spec.fold, spec.eval_share)
        case "kfold":
            raise ValueError("a split by folds should say which, such as (1, 5); found None")
        case "given" if spec.column is not None:
            column = events[spec.column].combine_chunks()
            return splits.given(column, drawn(spec.seed), spec.has_eval, spec.eval_share)
        case "given":
            raise ValueError("a given split should have its column; found None")
    methods = "random, kfold, given, temporal, temporal_per_user, leave_one_out"
    raise ValueError(f"the method of a split should be one of {methods}; found {spec.method!r}")


def _refuse_unknown(table: str, events: pa.Table, user_row: np.ndarray, item_row: np.ndarray) -> None:
    one = "event" if table == names.INTERACTIONS else "exposure"
    for rows, key, keyed in ((user_row, names.USER_ID, names.USERS), (item_row, names.ITEM_ID, names.ITEMS)):
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            row = events.slice(int(missing[0]), 1)
            user, item, time = (row[column][0] for column in (names.USER_ID, names.ITEM_ID, names.TIMESTAMP))
            raise DataError(
                table,
                f"{one} of user {user}, item {item}, timestamp {time}",
                f"its {key} is not in the table {keyed} ({len(missing):,} such {one}s)",
                f"Add it to {keyed}, or set `data.{table}.on_unknown: drop` to leave such {one}s out and count them.",
            )
