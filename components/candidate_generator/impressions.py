"""Impressions that were not chosen, as negatives of the ranker's training lists. Arrow and NumPy only.

An impression is not an event: it is in no history, no count and no split. It is only paired with a query of its user.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.event_joiner.join import known_rows
from core import names
from core.membership import is_in
from core.queries import Queries, catalogue_rows, ranges


@dataclass(frozen=True)
class Pairs:
    """P distinct pairs of a query and an item, sorted by query.

    Args:
      queries: [P] int64 position of the query among all queries, from 0.
      items: [P] int32 catalogue rows.
    """

    queries: np.ndarray
    items: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    def keys(self, n_items: int) -> np.ndarray:
        """Return [P] an integer for each pair, the same that `list_keys` returns for that pair."""
        return self.queries * (n_items + 1) + self.items


@dataclass(frozen=True)
class Impressions:
    """E impressions of known users and items.

    Args:
      users: [U] ids.
      user: [E] int32 rows in `users`.
      item: [E] int32 catalogue rows.
      time: [E] int64 timestamps.
      dropped: reason → the number of impressions of unknown users or items that were dropped.
    """

    users: pa.Array
    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.time)


def known(parts: Iterable[pa.Table], users: pa.Array, catalogue: pa.Array, drop_unknown: bool) -> Impressions:
    """Return the impressions of all parts with row numbers instead of ids.

    Memory holds the ids of only one part at a time.

    Args:
      parts: tables with user_id, item_id and timestamp.
      users: [U] ids without duplicates.
      catalogue: [N] item ids.
      drop_unknown: whether impressions of unknown users and items are dropped and counted, or are an error.
    Raises:
      DataError: the user or item of an impression is unknown, and `drop_unknown` is false.
    """
    keyed = pa.table({names.USER_ID: users}), pa.table({names.ITEM_ID: catalogue})
    none = np.zeros(0, np.int32)
    user, item, time, dropped = [none], [none], [np.zeros(0, np.int64)], Counter[str]()
    for part in parts:
        kept, user_row, item_row, unknown = known_rows(names.IMPRESSIONS, part, *keyed, drop_unknown)
        user.append(user_row.astype(np.int32))
        item.append(item_row.astype(np.int32))
        time.append(kept[names.TIMESTAMP].to_numpy())
        dropped.update(unknown)
    return Impressions(users, np.concatenate(user), np.concatenate(item), np.concatenate(time), dict(dropped))


def not_chosen(
    impressions: Impressions, queries: Queries, target: pa.Table, catalogue: pa.Array, of_each_user: bool
) -> Pairs:
    """Return the items that each query's user was shown, but had no event with, in the window of the query.

    Impressions count from one second after the last event of the query's history, so that those before the first event
    of the window are included. Impressions after the last event of the window are left out, since they may have led to
    an event in the next split. Where each user has a window of their own, its last second is left out too, since the
    next split may begin in that second.

    Args:
      impressions: impressions, in any order.
      queries: Q queries of the window.
      target: the events of the window: user_id, item_id, timestamp.
      catalogue: [N] item ids.
      of_each_user: whether each user's window ends with that user's last event in `target`; if false, all windows end
        with the last event of `target`.
    """
    query_user, event_user = (_rows(table[names.USER_ID], impressions.users) for table in (queries.users, target))
    first = _first_not_known(queries)
    begin = np.full(len(impressions.users), np.iinfo(np.int64).max)
    np.minimum.at(begin, query_user, first)
    end = np.full(len(impressions.users), np.iinfo(np.int64).min)
    np.maximum.at(end, event_user, target[names.TIMESTAMP].to_numpy())
    if of_each_user:
        end -= end > np.iinfo(np.int64).min
    else:
        end[:] = end.max()
    chosen = event_user * len(catalogue) + catalogue_rows(catalogue, target[names.ITEM_ID])
    inside = np.flatnonzero((impressions.time >= begin[impressions.user]) & (impressions.time <= end[impressions.user]))
    inside = inside[
        ~is_in(impressions.user[inside].astype(np.int64) * len(catalogue) + impressions.item[inside], chosen)
    ]
    user, item, time = impressions.user[inside], impressions.item[inside], impressions.time[inside]

    # Sort by user and second, with a query's begin before the impressions of that second, so that these are included.
    is_shown = np.arange(len(query_user) + len(user)) >= len(query_user)
    order = np.lexsort((is_shown, np.r_[first, time], np.r_[query_user, user]))
    before = np.cumsum(is_shown[order])
    starts = np.empty(len(query_user), np.int64)
    starts[order[~is_shown[order]]] = before[~is_shown[order]]
    sorted_ = order[is_shown[order]] - len(query_user)
    query, member = ranges(starts, np.searchsorted(user[sorted_], query_user, side="right"))
    keys = np.unique(query * len(catalogue) + item[sorted_][member])
    return Pairs(keys // len(catalogue), (keys % len(catalogue)).astype(np.int32))


def placed(pairs: Pairs, rows: np.ndarray, n_items: int) -> np.ndarray:
    """Return [P] whether the item of each pair is in the list of its query; `rows` is [Q, C], -1 for padding."""
    return is_in(pairs.keys(n_items), list_keys(rows, n_items))


def list_keys(rows: np.ndarray, n_items: int) -> np.ndarray:
    """Return [Q, C] an integer for each pair of a query and an item of its list, unique to that pair.

    Args:
      rows: [Q, C] catalogue rows, -1 for padding, whose integer belongs to no item.
      n_items: the size of the catalogue.
    """
    return np.arange(len(rows))[:, None] * (n_items + 1) + np.where(rows < 0, n_items, rows)


def _first_not_known(queries: Queries) -> np.ndarray:
    """Return [Q] int64 the second after the last event of each history; the smallest int64 for an empty history.

    If the timestamps of the histories are unknown, the timestamps of the queries are returned instead.
    """
    if queries.history_time is None:
        return queries.time
    ends = queries.history_time.offsets.to_numpy()
    times = np.r_[np.iinfo(np.int64).min, queries.history_time.values.to_numpy() + 1]
    return times[np.where(np.diff(ends) > 0, ends[1:], 0)]


def _rows(ids: pa.ChunkedArray, users: pa.Array) -> np.ndarray:
    """Return [N] int64 the row of each id in `users`, which holds all ids."""
    return pc.index_in(ids.combine_chunks(), value_set=users).to_numpy(zero_copy_only=False).astype(np.int64)
