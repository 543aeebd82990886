"""The batches of the two-tower, made with NumPy: chunks of users' events, and sampled negatives."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import names
from trainer.distribution.parts import slices
from trainer.retrieval.two_tower.chunks import Sequences, matches

Columns = dict[str, np.ndarray]


def divided(batch: dict[str, Any], parts: int) -> list[dict[str, Any]]:
    """Return consecutive parts of a batch; see `Batches.__iter__`.

    A part has the histories and items of its events, and all negatives of the batch, so that the losses of its events
    are those of the whole batch.
    """
    events, negative, row = len(batch["row"]), batch["negative"], batch["row"]
    result = []
    for part in slices(events, parts):
        rows = slice(int(row[part.start]), int(row[part.stop - 1]) + 1) if part.start < part.stop else slice(0, 0)
        query = {name: column[part] for name, column in batch["query"].items() if name != names.HISTORY}
        chosen = np.r_[np.arange(part.start, part.stop), negative]
        of_part = {
            "query": query | {names.HISTORY: batch["query"][names.HISTORY][rows]},
            "row": row[part] - np.int32(rows.start),
            "candidate": {name: column[chosen] for name, column in batch["candidate"].items()},
            "log_expected": batch["log_expected"][chosen],
            "negative": part.stop - part.start + np.arange(len(negative)),
            "excluded": _of_events(batch["excluded"], part),
        }
        of_part |= {name: batch[name][part] for name in ("first", "last", "own") if name in batch}
        if "pool" in batch:
            of_part |= {"pool": batch["pool"], "pool_excluded": _of_events(batch["pool_excluded"], part)}
        result.append(of_part)
    return result


def _of_events(pairs: np.ndarray, part: slice) -> np.ndarray:
    """Return the pairs [P, 2] of an event of the part and a candidate, sorted by event, with events from 0."""
    first, last = np.searchsorted(pairs[:, 0], [part.start, part.stop])
    return pairs[first:last] - np.array([part.start, 0], pairs.dtype)


def log_expected(counts: np.ndarray, of_batch: int, uniform: int) -> np.ndarray:
    """Return the log of the expected number of times that each item is among the negatives of a batch: [N] float32.

    Source: Yang et al., "Mixed negative sampling for learning two-tower neural networks in recommendations", WWW 2020.

    Args:
      counts: [N] events of each item.
      of_batch: the number of negatives that are items of the batch's events.
      uniform: the number of negatives drawn uniformly from the catalogue.
    """
    expected = of_batch * counts / max(1, counts.sum()) + uniform / len(counts)
    return np.log(np.maximum(expected, 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class Sampling:
    """The settings by which batches are sampled.

    Args:
      batch_size: the approximate number of events of a batch; chunks are not divided.
      negatives: the maximum number of items of the batch's events that are negatives of the other events.
      uniform: the number of negatives of a batch drawn uniformly from the catalogue.
      pool: the number of items that hard negatives are chosen from; 0 for none.
      exclude_positives: whether items that a user had an event with are excluded from the user's negatives.
      id_dropout: the share of ids replaced by out-of-vocabulary ids.
      oov_buckets: the number of indices of out-of-vocabulary ids.
    """

    batch_size: int
    negatives: int
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
      sequences: the events of each user.
      sizes: transformed column → its number of indices.
      sampling: the settings by which batches are sampled.
      seed: the seed of the order of events and of all samples.
    """

    def __init__(
        self,
        user_columns: Columns,
        item_columns: Columns,
        items: np.ndarray,
        sequences: Sequences,
        sizes: dict[str, int],
        sampling: Sampling,
        seed: int,
    ):
        self.user_columns, self.item_columns, self.items, self.sequences = user_columns, item_columns, items, sequences
        self.sizes, self.sampling = sizes, sampling
        self.random = np.random.default_rng(seed)
        self.n_items = len(item_columns[names.ITEM_ID])
        self.index = np.r_[item_columns[names.ITEM_ID], 0]  # the last for the row -1, which is padding
        counts = np.bincount(items, minlength=self.n_items)
        of_batch = min(sampling.negatives, sampling.batch_size, len(items))
        self.log_expected = log_expected(counts, of_batch, sampling.uniform)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of an epoch, of about the same number of events each.

        A batch has B events, C candidates, K negatives, and histories in R rows of L items:
          query: the query tower's columns [B, …], but the history [R, L].
          row, first, last, own (only if histories are not causal): [B] the range of each event's history.
          candidate: the candidate tower's columns of the items of the B events, then of items drawn uniformly.
          log_expected: [C] the output of `log_expected` for the candidates.
          negative: [K] positions in the candidates.
          excluded: [P, 2] the pairs of an event and a negative that is no negative of this event: its own item, and the
            items of the user's events in the batch or, with `exclude_positives`, all items of the user.
          pool, pool_excluded: only with hard negatives, the candidate tower's columns of the pool's items, and the
            pairs of an event and a pool item that is no negative for it.
        """
        chunks = self.sequences.chunks(self.random)
        ends = np.cumsum(chunks.end - chunks.start)
        n_batches = max(1, round(len(self.items) / self.sampling.batch_size))
        bounds = np.searchsorted(ends, np.arange(n_batches + 1) * len(self.items) / n_batches, "right")
        for first, last in itertools.pairwise(bounds):
            if last > first:
                yield self._batch(*self.sequences.histories(chunks.part(first, last)))

    def _batch(self, events: np.ndarray, histories: Any) -> dict[str, Any]:
        """Return the batch of some events with their histories."""
        query = {name: column[events] for name, column in self.user_columns.items()}
        query[names.HISTORY] = self.index[histories.items]
        self._drop_ids(query, names.USER_ID)
        size = min(self.sampling.negatives, len(events))
        chosen = np.sort(self.random.choice(len(events), size, replace=False, shuffle=False))
        uniform = self.random.integers(0, self.n_items, self.sampling.uniform)
        candidates = np.r_[self.items[events], uniform]
        negatives = np.r_[chosen, len(events) + np.arange(self.sampling.uniform)]
        batch = {
            "query": query,
            "row": histories.row,
            "first": histories.first,
            "last": histories.last,
            "candidate": self._candidates(candidates),
            "log_expected": self.log_expected[candidates],
            "negative": negatives,
            "excluded": self._excluded(events, chosen, candidates[negatives]),
        }
        if histories.own is not None:
            batch["own"] = histories.own
        if self.sampling.pool:
            size = min(self.sampling.pool, self.n_items)
            pool = self.random.choice(self.n_items, size, replace=False, shuffle=False)
            batch["pool"] = self._candidates(pool)
            batch["pool_excluded"] = self.sequences.positives(events, pool)
        return batch

    def _excluded(self, events: np.ndarray, chosen: np.ndarray, negatives: np.ndarray) -> np.ndarray:
        """Return the pairs [P, 2] of an event and a negative that is no negative of it, sorted by event.

        A batch has many events of a user. If their items were negatives of each other, users would have more of their
        own items among the negatives than of any other items.

        Args:
          events: [B] rows.
          chosen: the positions in `events` whose items are the first negatives.
          negatives: [K] the item rows of all negatives.
        """
        if self.sampling.exclude_positives:
            return self.sequences.positives(events, negatives).astype(np.int32)
        user = self.sequences.user[events]
        pairs = matches(self.items[events], negatives), matches(user, user[chosen])
        every = np.concatenate([np.stack(pair, axis=1) for pair in pairs]).astype(np.int32)
        return every[np.argsort(every[:, 0], kind="stable")]

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
