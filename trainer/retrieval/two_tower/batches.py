"""The batches of the two-tower, made with NumPy: events, their histories, and sampled negatives.

Histories are built from the events for each batch: stored, the histories of all events would take up as many times the
memory of the events as a history is long.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import names
from core.queries import ranges

Columns = dict[str, np.ndarray]


class Histories:
    """The histories of events: the other events of each event's user.

    Args:
      users: [E] int, the user of each event.
      items: [E] int32 item rows.
      timestamps: [E] int64.
      causal: whether a history has only earlier events, not those of the same second; else all other events.
      longest: the maximum length of a history.
      read: the maximum number of items that a step reads, at most `longest`: the latest or, if not causal, an even
        sample.
    """

    def __init__(
        self, users: np.ndarray, items: np.ndarray, timestamps: np.ndarray, causal: bool, longest: int, read: int
    ):
        order = np.lexsort((timestamps, users))
        self.items, self.causal, self.longest, self.read = items[order], causal, longest, read
        users, timestamps = users[order], timestamps[order]
        changed = users[1:] != users[:-1]
        seconds = np.flatnonzero(np.r_[True, changed | (timestamps[1:] != timestamps[:-1])])
        firsts = np.flatnonzero(np.r_[True, changed])
        sizes = np.diff(np.r_[firsts, len(users)])
        # By event: its position in `self.items`, the bounds of its user's events, and the first of its second.
        self.position, self.start, self.end, self.before = np.empty((4, len(users)), np.int64)
        self.position[order] = np.arange(len(users))
        self.start[order] = np.repeat(firsts, sizes)
        self.end[order] = np.repeat(firsts + sizes, sizes)
        self.before[order] = np.repeat(seconds, np.diff(np.r_[seconds, len(users)]))

    def of(self, events: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the histories of some events.

        Args:
          events: [B] their rows.
          random: the generator of the samples.
        Returns:
          [B, read] int32 item rows, oldest first, -1 after the last; [B] the lengths of the histories before sampling.
        """
        start, column = self.start[events], np.arange(self.read)
        if self.causal:
            taken = lengths = np.minimum(self.before[events] - start, self.read)
            positions = (self.before[events] - taken)[:, None] + column
        else:
            lengths = np.minimum(self.end[events] - start - 1, self.longest)
            taken = np.minimum(lengths, self.read)
            stride = (self.end[events] - start - 1) / np.maximum(taken, 1)
            steps = column + random.random((len(events), self.read)) * (stride > 1)[:, None]
            positions = start[:, None] + (steps * stride[:, None]).astype(np.int64)
            positions += positions >= self.position[events][:, None]  # not the event itself
        positions = np.minimum(positions, len(self.items) - 1)
        return np.where(column < taken[:, None], self.items[positions], -1).astype(np.int32), lengths

    def positives(self, events: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return the pairs of an event and a candidate that the event's user had an event with.

        Args:
          events: [B] rows.
          candidates: [C] item rows.
        Returns:
          [P, 2] positions in `events` and in `candidates`.
        """
        row, member = ranges(self.start[events], self.end[events])
        order = np.argsort(candidates, kind="stable")
        items, ordered = self.items[member], candidates[order]
        pair, position = ranges(*(np.searchsorted(ordered, items, side) for side in ("left", "right")))
        return np.stack([row[pair], order[position]], axis=1)


def log_expected(counts: np.ndarray, batch_size: int, uniform: int) -> np.ndarray:
    """Return the log of the expected number of times that a batch has each item, of an event or drawn: [N] float32.

    Source: Yang et al., "Mixed negative sampling for learning two-tower neural networks in recommendations", WWW 2020.

    Args:
      counts: [N] events of each item.
      batch_size: the number of events of a batch.
      uniform: the number of items drawn uniformly for a batch.
    """
    expected = batch_size * counts / max(1, counts.sum()) + uniform / len(counts)
    return np.log(np.maximum(expected, 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class Sampling:
    """The sampling of batches.

    Args:
      batch_size: the number of events of a batch.
      uniform: the number of negatives drawn from the catalogue for a batch.
      pool: the number of items that hard negatives are chosen from; 0 for none.
      exclude_positives: whether items that a user had an event with are excluded from the user's negatives.
      id_dropout: the share of ids replaced by out-of-vocabulary ones.
      oov_buckets: the number of out-of-vocabulary ids.
    """

    batch_size: int
    uniform: int
    pool: int
    exclude_positives: bool
    id_dropout: float
    oov_buckets: int


class Batches:
    """Batches of events in another order each epoch.

    Args:
      user_columns: column → [E, …], each event's transformed user columns, the user's id among them.
      item_columns: column → [N, …], the catalogue's transformed columns, the item's id among them.
      items: [E] item rows.
      histories: of the events.
      sizes: transformed column → its number of indices.
      sampling: the sampling.
      seed: the seed of all samples.
    """

    def __init__(
        self,
        user_columns: Columns,
        item_columns: Columns,
        items: np.ndarray,
        histories: Histories,
        sizes: dict[str, int],
        sampling: Sampling,
        seed: int,
    ):
        self.user_columns, self.item_columns, self.items, self.histories = user_columns, item_columns, items, histories
        self.sizes, self.sampling = sizes, sampling
        self.random = np.random.default_rng(seed)
        self.n_items = len(item_columns[names.ITEM_ID])
        self.index = np.r_[item_columns[names.ITEM_ID], 0]  # the last for the row -1, which is padding
        self.log_expected = log_expected(np.bincount(items, minlength=self.n_items), self.size, sampling.uniform)

    @property
    def size(self) -> int:
        return min(self.sampling.batch_size, len(self.items))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of an epoch, without a last short one.

        A batch has `query`, the query tower's columns of B events, and `history_length`, the lengths of their histories
        before sampling; `candidate`, the candidate tower's columns of the B items, then of those drawn, with their item
        `rows` and `log_expected`; `positives`, the pairs of an event and a candidate that are no negatives, if these
        are excluded; and, with hard negatives, `pool`, columns of candidates too, and `pool_positives`, the same pairs.
        """
        order = self.random.permutation(len(self.items))
        for start in range(0, len(order) - self.size + 1, self.size):
            yield self._batch(order[start : start + self.size])

    def _batch(self, events: np.ndarray) -> dict[str, Any]:
        """Return the batch of some events."""
        history, lengths = self.histories.of(events, self.random)
        query = {name: column[events] for name, column in self.user_columns.items()}
        query[names.HISTORY] = self.index[history]
        self._drop_ids(query, names.USER_ID)
        rows = np.r_[self.items[events], self.random.integers(0, self.n_items, self.sampling.uniform)]
        batch = {
            "query": query,
            "history_length": lengths.astype(np.float32),
            "candidate": self._candidates(rows),
            "rows": rows,
            "log_expected": self.log_expected[rows],
        }
        if self.sampling.exclude_positives:
            positives = self.histories.positives(events, rows)
            batch["positives"] = positives[positives[:, 0] != positives[:, 1]]  # not the event's own item
        if self.sampling.pool:
            size = min(self.sampling.pool, self.n_items)
            pool = self.random.choice(self.n_items, size, replace=False, shuffle=False)
            batch["pool"] = self._candidates(pool)
            batch["pool_positives"] = self.histories.positives(events, pool)
        return batch

    def _candidates(self, rows: np.ndarray) -> Columns:
        """Return the candidate tower's columns of items."""
        columns = {name: column[rows] for name, column in self.item_columns.items()}
        self._drop_ids(columns, names.ITEM_ID)
        return columns

    def _drop_ids(self, columns: Columns, key: str) -> None:
        """Replace a share of the ids by out-of-vocabulary ones."""
        if self.sampling.id_dropout:
            ids = columns[key]
            dropped = self.random.random(len(ids)) < self.sampling.id_dropout
            unknown = self.sizes[key] - 1 - self.random.integers(0, self.sampling.oov_buckets, len(ids))
            columns[key] = np.where(dropped, unknown, ids)
