"""What users were shown and did not choose, which a ranker may learn from. Arrow and NumPy only.

An exposure is no event: it is in no history and no count, and of no split. All that is made of exposures is pairs of a
query and an item.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.event_joiner.join import known_rows
from core import names
from core.queries import Queries, catalogue_rows, ranges


@dataclass(frozen=True)
class Pairs:
    """P pairs of a query and an item, none twice, sorted by query.

    Args:
      queries: [P] int64, which query.
      items: [P] int32 catalogue rows.
    """

    queries: np.ndarray
    items: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    def keys(self, n_items: int) -> np.ndarray:
        """[P] the number of each pair, as `list_keys` counts them."""
        return self.queries * (n_items + 1) + self.items


@dataclass(frozen=True)
class Exposures:
    """E exposures of known users and items.

    Args:
      users: [U] ids.
      user: [E] int32 rows in `users`.
      item: [E] int32 catalogue rows.
      time: [E] int64.
      dropped: reason → how many of unknown users or items were left out.
    """

    users: pa.Array
    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.time)


def known(parts: Iterable[pa.Table], users: pa.Array, catalogue: pa.Array, drop_unknown: bool) -> Exposures:
    """The exposures of all parts, which are held as numbers: memory is bounded by a part of strings.

    Args:
      parts: user_id, item_id and timestamp.
      users: [U] ids, each once.
      catalogue: [N] item ids.
      drop_unknown: whether those of other users and items are dropped and counted, or are an error.
    Raises:
      DataError: an exposure's user or item is not known, and it is not to be dropped.
    """
    keyed = pa.table({names.USER_ID: users}), pa.table({names.ITEM_ID: catalogue})
    none = np.zeros(0, np.int32)
    user, item, time, dropped = [none], [none], [np.zeros(0, np.int64)], Counter[str]()
    for part in parts:
        kept, user_row, item_row, unknown = known_rows(names.EXPOSURES, part, *keyed, drop_unknown)
        user.append(user_row.astype(np.int32))
        item.append(item_row.astype(np.int32))
        time.append(kept[names.TIMESTAMP].to_numpy())
        dropped.update(unknown)
    return Exposures(users, np.concatenate(user), np.concatenate(item), np.concatenate(time), dict(dropped))


def not_chosen(shown: Exposures, asked: Queries, target: pa.Table, catalogue: pa.Array, of_each_user: bool) -> Pairs:
    """The items that the user of each query was shown in the window asked about and chose at no time of it.

    Shown in the window is what was shown after the last event of the history, which what led to the first choice was
    too, and until the window's last event. What was shown later may have been chosen in a later split, and is never
    looked at, nor is the last second of a window that is a user's own, which the next split may begin in.

    Args:
      shown: exposures, in any order.
      asked: Q queries about the window.
      target: the events of the window: user_id, item_id, timestamp.
      catalogue: [N] item ids.
      of_each_user: whether each user's window ends with their own last event; otherwise with the last of all.
    """
    asker, chooser = (_rows(table[names.USER_ID], shown.users) for table in (asked.users, target))
    first = _first_not_known(asked)
    begin = np.full(len(shown.users), np.iinfo(np.int64).max)
    np.minimum.at(begin, asker, first)
    end = np.full(len(shown.users), np.iinfo(np.int64).min)
    np.maximum.at(end, chooser, target[names.TIMESTAMP].to_numpy())
    if of_each_user:
        end -= end > np.iinfo(np.int64).min
    else:
        end[:] = end.max()
    chosen = chooser * len(catalogue) + catalogue_rows(catalogue, target[names.ITEM_ID])
    inside = np.flatnonzero((shown.time >= begin[shown.user]) & (shown.time <= end[shown.user]))
    inside = inside[~np.isin(shown.user[inside].astype(np.int64) * len(catalogue) + shown.item[inside], chosen)]
    user, item, time = shown.user[inside], shown.item[inside], shown.time[inside]

    # Of one user and second the query comes first, so that all from its place on is shown from that second on.
    is_shown = np.arange(len(asker) + len(user)) >= len(asker)
    order = np.lexsort((is_shown, np.r_[first, time], np.r_[asker, user]))
    before = np.cumsum(is_shown[order])
    starts = np.empty(len(asker), np.int64)
    starts[order[~is_shown[order]]] = before[~is_shown[order]]
    sorted_ = order[is_shown[order]] - len(asker)
    query, member = ranges(starts, np.searchsorted(user[sorted_], asker, side="right"))
    keys = np.unique(query * len(catalogue) + item[sorted_][member])
    return Pairs(keys // len(catalogue), (keys % len(catalogue)).astype(np.int32))


def placed(shown: Pairs, rows: np.ndarray, n_items: int) -> np.ndarray:
    """[P] bool, which of the pairs stand in lists [Q, C] of catalogue rows, -1 for none."""
    return np.isin(shown.keys(n_items), list_keys(rows, n_items))


def list_keys(rows: np.ndarray, n_items: int) -> np.ndarray:
    """[Q, C] a number for each pair of a query and an item of its list; for -1, no item, that of none."""
    return np.arange(len(rows))[:, None] * (n_items + 1) + np.where(rows < 0, n_items, rows)


def _first_not_known(asked: Queries) -> np.ndarray:
    """[Q] int64 the second after the last event of each history; of an empty one the first there is.

    Where nobody knows the times of the history it is that of the query.
    """
    if asked.history_time is None:
        return asked.time
    ends = asked.history_time.offsets.to_numpy()
    times = np.r_[np.iinfo(np.int64).min, asked.history_time.values.to_numpy() + 1]
    return times[np.where(np.diff(ends) > 0, ends[1:], 0)]


def _rows(ids: pa.ChunkedArray, users: pa.Array) -> np.ndarray:
    """[N] int64 the rows in `users`, which has them all."""
    return pc.index_in(ids.combine_chunks(), value_set=users).to_numpy(zero_copy_only=False).astype(np.int64)
