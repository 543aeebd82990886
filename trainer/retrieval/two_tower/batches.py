"""What a training step of the two-tower reads, made with NumPy: events, their histories, and sampled negatives.

Histories are cut from the events themselves as batches need them: written out, those of all events outweigh the events
by as much as a history is long.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import names
from core.queries import ranges

Columns = dict[str, np.ndarray]


class Histories:
    """What each event's user met besides.

    Args:
      users: [E] int, the user of each event.
      items: [E] int32 catalogue rows.
      timestamps: [E] int64.
      in_order: whether only earlier events count, which those of the same second are not; otherwise all others do.
      longest: the most that a history holds.
      read: the most that a step reads, no more than those: the latest or, where order says nothing, an even sample.
    """

    def __init__(
        self, users: np.ndarray, items: np.ndarray, timestamps: np.ndarray, in_order: bool, longest: int, read: int
    ):
        order = np.lexsort((timestamps, users))
        self.members, self.in_order, self.longest, self.read = items[order], in_order, longest, read
        users, timestamps = users[order], timestamps[order]
        changed = users[1:] != users[:-1]
        moments = np.flatnonzero(np.r_[True, changed | (timestamps[1:] != timestamps[:-1])])
        firsts = np.flatnonzero(np.r_[True, changed])
        sizes = np.diff(np.r_[firsts, len(users)])
        self.place, self.start, self.end, self.before = np.empty((4, len(users)), np.int64)
        self.place[order] = np.arange(len(users))
        self.start[order] = np.repeat(firsts, sizes)
        self.end[order] = np.repeat(firsts + sizes, sizes)
        self.before[order] = np.repeat(moments, np.diff(np.r_[moments, len(users)]))

    def of(self, events: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The histories of some events.

        Args:
          events: [B] which.
          draw: of the samples.
        Returns:
          [B, read] int32 catalogue rows, oldest first, -1 after the last; [B] how many items each stands for.
        """
        start, column = self.start[events], np.arange(self.read)
        if self.in_order:
            taken = met = np.minimum(self.before[events] - start, self.read)
            places = (self.before[events] - taken)[:, None] + column
        else:
            met = np.minimum(self.end[events] - start - 1, self.longest)
            taken = np.minimum(met, self.read)
            every = (self.end[events] - start - 1) / np.maximum(taken, 1)  # one of so many
            steps = column + draw.random((len(events), self.read)) * (every > 1)[:, None]
            places = start[:, None] + (steps * every[:, None]).astype(np.int64)
            places += places >= self.place[events][:, None]  # not the event itself
        places = np.minimum(places, len(self.members) - 1)
        return np.where(column < taken[:, None], self.members[places], -1).astype(np.int32), met

    def positives(self, events: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """[P, 2] of (row of `events`, place in `candidates`) wherever a candidate is an item that the event's user met.

        Args:
          events: [B] which.
          candidates: [C] catalogue rows.
        """
        row, member = ranges(self.start[events], self.end[events])
        order = np.argsort(candidates, kind="stable")
        items, ordered = self.members[member], candidates[order]
        found, place = ranges(*(np.searchsorted(ordered, items, side) for side in ("left", "right")))
        return np.stack([row[found], order[place]], axis=1)


def log_expected(counts: np.ndarray, batch_size: int, uniform: int) -> np.ndarray:
    """[N] float32, the log of how often a batch holds each item: as an event's, or drawn from the catalogue.

    Source: Yang et al., "Mixed negative sampling for learning two-tower neural networks in recommendations", WWW 2020.

    Args:
      counts: [N] events of each item.
      batch_size: events a batch.
      uniform: items drawn a batch.
    """
    expected = batch_size * counts / max(1, counts.sum()) + uniform / len(counts)
    return np.log(np.maximum(expected, 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class Sampling:
    """How batches are drawn.

    Args:
      batch_size: events a batch.
      uniform: items of the catalogue drawn beside them, the same for the whole batch.
      pool: items of the catalogue drawn to find hard negatives among; 0 for none.
      skip_met: whether no item that a user met is a negative for them.
      id_dropout: share of ids replaced by out-of-vocabulary ones.
      oov_buckets: how many there are of these.
    """

    batch_size: int
    uniform: int
    pool: int
    skip_met: bool
    id_dropout: float
    oov_buckets: int


class Batches:
    """Batches of events in another order each epoch.

    Args:
      of_users: column → [E, …], each event's transformed user columns, the user's id among them.
      of_items: column → [N, …], the catalogue's transformed columns, the item's id among them.
      items: [E] catalogue rows.
      histories: of the events.
      sizes: transformed column → how many indices it has.
      sampling: how.
      seed: of everything drawn.
    """

    def __init__(
        self,
        of_users: Columns,
        of_items: Columns,
        items: np.ndarray,
        histories: Histories,
        sizes: dict[str, int],
        sampling: Sampling,
        seed: int,
    ):
        self.of_users, self.of_items, self.items, self.histories = of_users, of_items, items, histories
        self.sizes, self.sampling = sizes, sampling
        self.draw = np.random.default_rng(seed)
        self.n_items = len(of_items[names.ITEM_ID])
        self.index = np.r_[of_items[names.ITEM_ID], 0]  # of the row -1: padding
        self.log_expected = log_expected(np.bincount(items, minlength=self.n_items), self.size, sampling.uniform)

    @property
    def size(self) -> int:
        return min(self.sampling.batch_size, len(self.items))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """An epoch; a last short batch is left out.

        A batch has `query`, the query tower's columns of B events, and `met`, how many items each one's history stands
        for; `candidate`, the candidate tower's columns of the B items, then of those drawn, with their catalogue `rows`
        and `log_expected`; `positives`, the places of candidates that are no negatives, if these are left out; and,
        where hard negatives are looked for, `pool`, columns of candidates too, and `of_pool`, positives there.
        """
        order = self.draw.permutation(len(self.items))
        for start in range(0, len(order) - self.size + 1, self.size):
            yield self._batch(order[start : start + self.size])

    def _batch(self, events: np.ndarray) -> dict[str, Any]:
        met, count = self.histories.of(events, self.draw)
        query = {name: column[events] for name, column in self.of_users.items()}
        query[names.HISTORY] = self.index[met]
        self._drop(query, names.USER_ID)
        rows = np.r_[self.items[events], self.draw.integers(0, self.n_items, self.sampling.uniform)]
        batch = {
            "query": query,
            "met": count.astype(np.float32),
            "candidate": self._candidates(rows),
            "rows": rows,
            "log_expected": self.log_expected[rows],
        }
        if self.sampling.skip_met:
            positives = self.histories.positives(events, rows)
            batch["positives"] = positives[positives[:, 0] != positives[:, 1]]  # the event's own place
        if self.sampling.pool:
            size = min(self.sampling.pool, self.n_items)
            pool = self.draw.choice(self.n_items, size, replace=False, shuffle=False)
            batch["pool"] = self._candidates(pool)
            batch["of_pool"] = self.histories.positives(events, pool)
        return batch

    def _candidates(self, rows: np.ndarray) -> Columns:
        columns = {name: column[rows] for name, column in self.of_items.items()}
        self._drop(columns, names.ITEM_ID)
        return columns

    def _drop(self, columns: Columns, key: str) -> None:
        """Put out-of-vocabulary ids in the place of some."""
        if self.sampling.id_dropout:
            ids = columns[key]
            dropped = self.draw.random(len(ids)) < self.sampling.id_dropout
            unknown = self.sizes[key] - 1 - self.draw.integers(0, self.sampling.oov_buckets, len(ids))
            columns[key] = np.where(dropped, unknown, ids)
