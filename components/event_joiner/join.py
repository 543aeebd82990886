"""The join of each event with its user and item, and its split. Arrow and NumPy only.

Until events are written, they hold the row numbers of their users and items. Ids and features are gathered slice by
slice while writing, so that no array of strings grows with the number of events.
"""

import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.event_joiner import shards, splits
from core import names
from core.errors import DataError
from core.queries import ranges


@dataclass(frozen=True)
class JoinSpec:
    """The settings of the join and of the split.

    Args:
      method, eval_share, test_share: the method of the split and the shares of eval and test; see
        `components.event_joiner.splits`.
      cut: the timestamps at which eval and test begin, for the method `temporal`.
      seed: the seed of random methods, and of the order of the events of a user in one second.
      fold: (i, n), fold i of n from 1, for the method `kfold`.
      column: the column that holds the split, for the method `given`; the join removes it.
      has_eval: whether any event in the whole table is `eval` in `column`.
      drop_unknown: whether events of unknown users or items are dropped and counted, or are an error.
    """

    method: str
    eval_share: float
    test_share: float
    cut: tuple[int, int] | None = None
    seed: int = 0
    fold: tuple[int, int] | None = None
    column: str | None = None
    has_eval: bool = False
    drop_unknown: bool = False


@dataclass(frozen=True)
class Joined:
    """E events of some users, sorted by user id, timestamp and content hash, with the rows of their users and items.

    Args:
      users: user_id and the user features.
      items: item_id and the item features.
      events: [E] the other columns of the events: timestamp, rating where there is one.
      user_row, item_row: [E] rows in `users` and in `items`.
      split: [E] int8, an index into `splits.SPLITS`, or `splits.LEFT_OUT`.
      dropped: reason → the number of dropped events.
    """

    users: pa.Table
    items: pa.Table
    events: pa.Table
    user_row: np.ndarray
    item_row: np.ndarray
    split: np.ndarray
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.split)

    def tables(self, chosen: np.ndarray, columns: Collection[str] | None = None) -> Iterator[pa.Table]:
        """Yield the chosen events with ids and features, in at least one slice of up to `shards.BYTES_AT_ONCE` bytes.

        Args:
          chosen: [E] bool.
          columns: the columns besides the ids; None for all.
        """
        rows = np.flatnonzero(chosen)
        every = (*self.events.column_names, *self.users.column_names, *self.items.column_names)
        wanted = {names.USER_ID, names.ITEM_ID, *(every if columns is None else columns)}
        sizes = self._user_bytes[self.user_row[rows]] + self._item_bytes[self.item_row[rows]]
        sizes += 8 * self.events.num_columns
        for part in shards.slices(sizes):
            mine = rows[part]
            of_user, of_item = (
                {name: shards.gather(table[name], row[mine]) for name in table.column_names if name in wanted}
                for table, row in ((self.users, self.user_row), (self.items, self.item_row))
            )
            ids = {names.USER_ID: of_user.pop(names.USER_ID), names.ITEM_ID: of_item.pop(names.ITEM_ID)}
            others = {
                name: shards.gather(self.events[name], mine) for name in self.events.column_names if name in wanted
            }
            yield pa.table({**ids, **others, **of_user, **of_item})

    def table(self, chosen: np.ndarray, columns: Collection[str] | None = None) -> pa.Table:
        """Return the chosen events as one table; see `tables`."""
        return pa.concat_tables(self.tables(chosen, columns))

    @functools.cached_property
    def known(self) -> np.ndarray:
        """[E] bool: whether an event is in train or eval."""
        return (self.split >= 0) & (self.split < splits.SPLITS.index(names.TEST))

    @functools.cached_property
    def _user_bytes(self) -> np.ndarray:
        return shards.row_bytes(self.users)

    @functools.cached_property
    def _item_bytes(self) -> np.ndarray:
        return shards.row_bytes(self.items)


def join(events: pa.Table, users: pa.Table, items: pa.Table, spec: JoinSpec) -> Joined:
    """Join all events of some users with these users and with their items, and assign each event to a split.

    The result does not depend on the order of the rows of `events`: events of one user and second are sorted by a hash
    of their content.

    Args:
      events: all events of these users, in any order: user_id, item_id, timestamp and other columns.
      users: user_id and the user features.
      items: item_id and the item features.
      spec: the settings.
    Raises:
      DataError: an event has an unknown user or item, and `spec.drop_unknown` is false.
      ValueError: the method is unknown, or a setting that it needs is missing.
    """
    keys = (names.USER_ID, names.ITEM_ID)
    others = [events.slice(0, 0).drop_columns(list(keys))]
    user_rows, item_rows = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    dropped: dict[str, int] = {}
    for block in shards.blocks(events.to_batches()):
        known, user_row, item_row, unknown = known_rows(
            names.INTERACTIONS, pa.Table.from_batches([block]), users, items, spec.drop_unknown
        )
        others.append(known.drop_columns(list(keys)))
        user_rows.append(user_row)
        item_rows.append(item_row)
        dropped = {reason: dropped.get(reason, 0) + unknown.get(reason, 0) for reason in {**dropped, **unknown}}
    rest = pa.concat_tables(others)
    user_row, item_row = np.concatenate(user_rows), np.concatenate(item_rows)
    time = rest[names.TIMESTAMP].to_numpy()

    hashes = [splits.hashes(table[key]) for table, key in zip((users, items), keys, strict=True)]
    drawn = splits.shares(spec.seed, hashes[0][user_row], hashes[1][item_row], time)
    rank = np.argsort(by_id(users))[user_row]
    # The rating decides the order of events with equal hashes, since the hash does not cover it.
    last = [rest[names.RATING].to_numpy()] if names.RATING in rest.column_names else []
    order = np.lexsort((*last, drawn, time, rank))
    user_row, item_row, time, drawn = user_row[order], item_row[order], time[order], drawn[order]
    rest = pa.table({name: shards.gather(rest[name], order) for name in rest.column_names})

    starts, counts = runs(user_row)
    seconds = runs(_group_ids(user_row, time))[0]
    again = functools.partial(splits.shares, spec.seed + 1, hashes[0][user_row], hashes[1][item_row], time)
    split = _split(spec, rest, starts, counts, seconds, drawn, again)
    rest = rest.drop_columns([spec.column]) if spec.column else rest
    return Joined(users, items, rest, user_row, item_row, split, dropped)


def known_rows(
    table: str, events: pa.Table, users: pa.Table, items: pa.Table, drop_unknown: bool
) -> tuple[pa.Table, np.ndarray, np.ndarray, dict[str, int]]:
    """Return the events of known users and items, with the rows of their users and items.

    Args:
      table: interactions or impressions.
      events: user_id, item_id, timestamp and other columns.
      users, items: tables with the known ids.
      drop_unknown: whether other events are dropped and counted, or are an error.
    Returns:
      The events; [N] the rows of their users; [N] the rows of their items; reason → the number of dropped events.
    Raises:
      DataError: an event has an unknown user or item, and `drop_unknown` is false.
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
    """Return for each of N grouped keys the first index [N] and the size [N] of its group."""
    if not len(sorted_keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])
    sizes = np.diff(np.r_[first, len(sorted_keys)])
    return np.repeat(first, sizes), np.repeat(sizes, sizes)


def by_id(users: pa.Table) -> np.ndarray:
    """Return [U] the rows of the users, sorted by the bytes of their ids."""
    return pc.sort_indices(users[names.USER_ID]).to_numpy().astype(np.int64)


def user_states(joined: Joined, history_length: int) -> pa.Table:
    """Return the users after their last event, sorted by user_id, in chunks of `shards.BYTES_AT_ONCE`.

    Args:
      joined: all events of the users, including those in no split.
      history_length: the maximum number of items in a history.
    Returns:
      The columns of the users, `event_count` (the number of events in train and eval), `history` (the items of the
      latest events, oldest first), `history_time` (the timestamps of these events) and `exclude` (the items of all
      events).
    """
    users, item_ids = joined.users, joined.items[names.ITEM_ID]
    order = by_id(users)
    counts = np.bincount(joined.user_row, minlength=users.num_rows)[order]
    known = np.bincount(joined.user_row[joined.known], minlength=users.num_rows)[order]
    ends = np.cumsum(counts)
    time = joined.events[names.TIMESTAMP].to_numpy()
    total = np.r_[0, np.cumsum(shards.row_bytes(joined.items.select([names.ITEM_ID]))[joined.item_row])]
    sizes = shards.row_bytes(users)[order] + 2 * (total[ends] - total[ends - counts])
    parts = []
    for part in shards.slices(sizes):
        states = {name: shards.gather(users[name], order[part]) for name in users.column_names}
        states[names.EVENT_COUNT] = pa.array(known[part])
        kept = np.minimum(counts[part], history_length)
        members = ranges(ends[part] - kept, ends[part])[1]
        seen = ranges(ends[part] - counts[part], ends[part])[1]
        for name, lengths, values in (
            (names.HISTORY, kept, shards.gather(item_ids, joined.item_row[members])),
            (names.HISTORY_TIME, kept, pa.array(time[members])),
            (names.EXCLUDE, counts[part], shards.gather(item_ids, joined.item_row[seen])),
        ):
            offsets = pa.array(np.r_[0, np.cumsum(lengths)], pa.int32())
            states[name] = pa.ListArray.from_arrays(offsets, values)
        parts.append(pa.table(states))
    return pa.concat_tables(parts)


def event_counts(joined: Joined, chosen: np.ndarray) -> pa.Table:
    """Return a table of item_id and event_count, the number of chosen events ([E] bool) of each item that has any."""
    rows, counts = np.unique(joined.item_row[chosen], return_counts=True)
    return pa.table({names.ITEM_ID: shards.gather(joined.items[names.ITEM_ID], rows), names.EVENT_COUNT: counts})


def counts_of(item_ids: pa.ChunkedArray, counts: pa.Table) -> pa.Array:
    """Return [N] int64 the number of events of each item of a catalogue.

    Args:
      item_ids: [N] the ids of the catalogue, without duplicates.
      counts: the concatenated results of `event_counts` of one or more shards, with items of the catalogue only.
    """
    rows = pc.index_in(counts[names.ITEM_ID].combine_chunks(), value_set=item_ids.combine_chunks()).to_numpy()
    return pa.array(np.bincount(rows, counts[names.EVENT_COUNT].to_numpy(), len(item_ids)).astype(np.int64))


def _rows(table: pa.Table, keyed: pa.Table, key: str) -> np.ndarray:
    """Return [N] for each row of `table` the row of `keyed` with the same value in column `key`, -1 for none."""
    found = pc.index_in(table[key].combine_chunks(), value_set=keyed[key].combine_chunks())
    return pc.fill_null(found, -1).to_numpy(zero_copy_only=False)


def _group_ids(users: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return [N] a number for each event that is equal for events of one user and second; events are sorted by both."""
    if not len(users):
        return np.zeros(0, np.int64)
    return np.cumsum(np.r_[False, (users[1:] != users[:-1]) | (time[1:] != time[:-1])])


def _split(
    spec: JoinSpec,
    events: pa.Table,
    starts: np.ndarray,
    counts: np.ndarray,
    seconds: np.ndarray,
    drawn: np.ndarray,
    again: Callable[[], np.ndarray],
) -> np.ndarray:
    """Return [E] the split of each event of a sorted table.

    Args:
      spec: the settings.
      events: the events, sorted by user, timestamp and content hash.
      starts, counts, seconds: as for `splits.temporal_per_user`.
      drawn: [E] numbers from `splits.shares`.
      again: a function that returns such numbers under another seed.
    """
    match spec.method:
        case "temporal" if spec.cut is not None:
            return splits.temporal(events[names.TIMESTAMP].to_numpy(), spec.cut)
        case "temporal":
            raise ValueError("the split `temporal` should have two timestamps as `cut`; found None. Use `splits.cuts`")
        case "temporal_per_user":
            return splits.temporal_per_user(starts, counts, seconds, spec.eval_share, spec.test_share)
        case "leave_one_out":
            return splits.leave_one_out(starts, counts, seconds)
        case "random":
            return splits.random(drawn, spec.eval_share, spec.test_share)
        case "kfold" if spec.fold is not None:
            return splits.kfold(drawn, again(), *spec.fold, spec.eval_share)
        case "kfold":
            raise ValueError("the split `kfold` should have a `fold`, such as (1, 5); found None")
        case "given" if spec.column is not None:
            return splits.given(events[spec.column].combine_chunks(), drawn, spec.has_eval, spec.eval_share)
        case "given":
            raise ValueError("the split `given` should have a `column`; found None")
    methods = "random, kfold, given, temporal, temporal_per_user, leave_one_out"
    raise ValueError(f"the method of a split should be one of {methods}; found {spec.method!r}")


def _refuse_unknown(table: str, events: pa.Table, user_row: np.ndarray, item_row: np.ndarray) -> None:
    """Raise DataError for the first event of an unknown user or item."""
    one = "event" if table == names.INTERACTIONS else "impression"
    for rows, key, keyed in ((user_row, names.USER_ID, names.USERS), (item_row, names.ITEM_ID, names.ITEMS)):
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            row = events.slice(int(missing[0]), 1)
            user, item, time = (row[column][0] for column in (names.USER_ID, names.ITEM_ID, names.TIMESTAMP))
            raise DataError(
                table,
                f"{one} of user {user}, item {item}, timestamp {time}",
                f"its {key} is not in the table {keyed} ({len(missing):,} such {one}s)",
                f"Add it to {keyed}, or set `data.{table}.on_unknown: drop` to drop and count such {one}s.",
            )
