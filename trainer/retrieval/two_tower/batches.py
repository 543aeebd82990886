"""The batches of the two-tower, made with NumPy: events, their histories, and sampled negatives.

The histories of a batch are built when the batch is made. The histories of all events would take the memory of the
events times the length of a history.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import names
from core.queries import ranges

Columns = dict[str, np.ndarray]


class Histories:
    """The histories of training events: for each event, other events of the same user.

    Args:
      users: [E] int, the user of each event.
      items: [E] int32 item rows.
      timestamps: [E] int64.
      causal: whether a history has only events of earlier seconds; else it has all other events of the user.
      longest: the maximum length of a history.
      read: the maximum number of items that a training step uses of a history, at most `longest`: the latest items or,
        if not causal, a random sample spread evenly over the user's events.
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
        # For each event, positions in `self.items`: of the event, of the start and the end of the user's events, and of
        # the user's first event in the same second.
        self.position, self.start, self.end, self.before = np.empty((4, len(users)), np.int64)
        self.position[order] = np.arange(len(users))
        self.start[order] = np.repeat(firsts, sizes)
        self.end[order] = np.repeat(firsts + sizes, sizes)
        self.before[order] = np.repeat(seconds, np.diff(np.r_[seconds, len(users)]))

    def of(self, events: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the histories of the events of a batch.

        Args:
          events: [B] the rows of the events.
          random: the random generator for samples of the histories.
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
            positions += positions >= self.position[events][:, None]  # skips the event itself
        positions = np.minimum(positions, len(self.items) - 1)
        return np.where(column < taken[:, None], self.items[positions], -1).astype(np.int32), lengths

    def positives(self, events: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return the pairs of an event and a candidate with which the event's user has an event.

        Args:
          events: [B] the rows of the events.
          candidates: [C] the item rows of the candidates.
        Returns:
          [P, 2] positions in `events` and in `candidates`.
        """
        row, member = ranges(self.start[events], self.end[events])
        order = np.argsort(candidates, kind="stable")
        items, ordered = self.items[member], candidates[order]
        pair, position = ranges(*(np.searchsorted(ordered, items, side) for side in ("left", "right")))
        return np.stack([row[pair], order[position]], axis=1)


def log_expected(counts: np.ndarray, batch_size: int, uniform: int) -> np.ndarray:
    """Return the log of the expected number of times that each item is in a batch: [N] float32.

    An item is in a batch as the item of an event, or as a negative drawn uniformly.

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
    """The settings by which batches are sampled.

    Args:
      batch_size: the number of events of a batch.
      uniform: the number of negatives drawn from the catalogue for a batch.
      pool: the number of items that hard negatives are chosen from; 0 for none.
      exclude_positives: whether items that a user had an event with are excluded from the user's negatives.
      id_dropout: the share of ids replaced by out-of-vocabulary ids.
      oov_buckets: the number of indices of out-of-vocabulary ids.
    """

    batch_size: int
    uniform: int
    pool: int
    exclude_positives: bool
    id_dropout: float
    oov_buckets: int


class Batches:
    """The training batches of events, in a new random order each epoch.

    Args:
      user_columns: column → [E, …], each event's transformed user columns, the user's id among them.
      item_columns: column → [N, …], the catalogue's transformed columns, the item's id among them.
      items: [E] item rows.
      histories: the histories of the events.
      sizes: transformed column → its number of indices.
      sampling: the settings by which batches are sampled.
      seed: the seed of the order of events and of all samples.
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
        self.index = np.r_[item_columns[names.ITEM_ID], 0]  # the last, 0, is for the row -1 of padding
        self.log_expected = log_expected(np.bincount(items, minlength=self.n_items), self.size, sampling.uniform)

    @property
    def size(self) -> int:
        return min(self.sampling.batch_size, len(self.items))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of an epoch, without a last short one.

        A batch is a dict with these keys:
          query: the query tower's columns of B events.
          history_length: [B] the lengths of the events' histories before sampling.
          candidate: the candidate tower's columns of the C candidates: the items of the B events, then drawn items.
          rows, log_expected: [C] the candidates' item rows, and the output of `log_expected` for them.
          positives: only with `exclude_positives`, the pairs of an event and a candidate that is no negative for it.
          pool, pool_positives: only with hard negatives, the candidate tower's columns of the pool's items, and the
            pairs of an event and a pool item that is no negative for it.
        """
        order = self.random.permutation(len(self.items))
        for start in range(0, len(order) - self.size + 1, self.size):
            yield self._batch(order[start : start + self.size])

    def _batch(self, events: np.ndarray) -> dict[str, Any]:
        """Return the batch of the events at the rows `events` [B]."""
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
            batch["positives"] = positives[positives[:, 0] != positives[:, 1]]  # without the event's own item
        if self.sampling.pool:
            size = min(self.sampling.pool, self.n_items)
            pool = self.random.choice(self.n_items, size, replace=False, shuffle=False)
            batch["pool"] = self._candidates(pool)
            batch["pool_positives"] = self.histories.positives(events, pool)
        return batch

    def _candidates(self, rows: np.ndarray) -> Columns:
        """Return the candidate tower's columns of the items at `rows`, with a share of the ids dropped."""
        columns = {name: column[rows] for name, column in self.item_columns.items()}
        self._drop_ids(columns, names.ITEM_ID)
        return columns

    def _drop_ids(self, columns: Columns, key: str) -> None:
        """Replace a share of the ids in the column `key` by out-of-vocabulary ids."""
        if self.sampling.id_dropout:
            ids = columns[key]
            dropped = self.random.random(len(ids)) < self.sampling.id_dropout
            unknown = self.sizes[key] - 1 - self.random.integers(0, self.sampling.oov_buckets, len(ids))
            columns[key] = np.where(dropped, unknown, ids)
