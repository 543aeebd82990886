"""The events of users cut into chunks, whose histories are encoded together. NumPy only.

If the history of each event were gathered separately, a batch would be as many times larger as a history is long. Here
a batch reads the items of a chunk, and those before it, once; the history of each event is a range of these items.
"""

from dataclasses import dataclass

import numpy as np

from core.queries import ranges

SMALLEST = 4  # events of a chunk
CHUNKS_OF_BATCH = 512  # a large batch has at least so many chunks


@dataclass(frozen=True)
class HistoryKind:
    """The histories that events are trained with.

    Args:
      causal: whether a history contains only events of earlier seconds; else other events of the user.
      from_start: whether the histories of a chunk all begin with the same item, as an encoder with a state needs, so
        that they have between `length` and 1.5 `length` items; else each has the last `length` items before the event.
      length: the number of items of a history, as far as the user has as many.
      batch_size: the approximate number of events of a batch.
    """

    causal: bool
    from_start: bool
    length: int
    batch_size: int = 1024

    @property
    def chunk(self) -> int:
        """Return the maximum number of events of a chunk.

        Larger chunks read fewer items for each event, but a batch then has events of fewer users, and learns less.
        """
        if not self.causal:
            return self.length + 1
        smallest = max(SMALLEST, min(self.batch_size // CHUNKS_OF_BATCH, self.length // 2))
        return max(smallest, self.length // 2) if self.from_start else smallest


@dataclass(frozen=True)
class Chunks:
    """C chunks of consecutive events of one user each; numbers are positions in the sorted events.

    Args:
      start, end: [C] the bounds of the events that are predicted.
      begin: [C] the first event that is in a history of them.
    """

    begin: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def part(self, first: int, last: int) -> "Chunks":
        """Return the chunks [first, last)."""
        return Chunks(self.begin[first:last], self.start[first:last], self.end[first:last])


@dataclass(frozen=True)
class HistoryRows:
    """The histories of B events as ranges of rows of items.

    Args:
      items: [R, L] int32 item rows, oldest first, -1 after the last.
      row, first, last: [B] int32: the history of an event is `items[row, first:last]`.
      own: [B] int32, the column of the event itself, which is not in its history; None where histories are causal.
    """

    items: np.ndarray
    row: np.ndarray
    first: np.ndarray
    last: np.ndarray
    own: np.ndarray | None


class Sequences:
    """The events of each user, sorted by time.

    Args:
      users: [E] int, the user of each event.
      items: [E] int32 item rows.
      timestamps: [E] int64.
      kind: the kind of histories.

    Attributes:
      user: [E] the number of each event's user.
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, timestamps: np.ndarray, kind: HistoryKind):
        # Positions are int32, which halves the memory: a fit on one machine has fewer than two billion events.
        self.kind, self.user = kind, np.unique(users, return_inverse=True)[1].astype(np.int32)
        self.order = np.lexsort((timestamps, users)).astype(np.int32)  # sorted position → event
        users, timestamps, self.items = users[self.order], timestamps[self.order], items[self.order]
        changed = np.r_[True, users[1:] != users[:-1]]
        self.starts = np.flatnonzero(changed)  # of each user
        self.ends = np.r_[self.starts[1:], len(users)]
        seconds = np.flatnonzero(changed | np.r_[True, timestamps[1:] != timestamps[:-1]])
        self.second = np.repeat(  # position → the first of its second
            seconds.astype(np.int32), np.diff(np.r_[seconds, len(users)])
        )
        # A chunk ends after a second of many events, so that the histories of a chunk are close to each other.
        crowded = np.diff(np.r_[seconds, len(users)]) > kind.chunk
        self.cuts = seconds[1:][crowded[:-1]] if kind.causal else seconds[:0]

    def chunks(self, random: np.random.Generator) -> Chunks:
        """Return all events in chunks, in random order; a sequence longer than a chunk is cut at a random place.

        Without causal histories the events of each user are first brought into random order.
        """
        if not self.kind.causal:
            owner = np.repeat(np.arange(len(self.starts)), self.ends - self.starts)
            shuffled = np.lexsort((random.random(len(owner)), owner))
            self.order, self.items = self.order[shuffled], self.items[shuffled]
        size, lengths = self.kind.chunk, self.ends - self.starts
        offset = random.integers(0, size, len(lengths)) * (lengths > size)
        user, number = ranges(np.zeros(len(lengths), np.int64), -(-(lengths + offset) // size))
        start = np.maximum(self.starts[user] - offset[user] + number * size, self.starts[user])
        start = np.union1d(start, self.cuts)
        end = np.r_[start[1:], len(self.items)]
        begin = start
        if self.kind.causal:
            owner = np.searchsorted(self.starts, start, "right") - 1
            begin = np.maximum(self.second[start] - self.kind.length, self.starts[owner])
        shuffle = random.permutation(len(start))
        return Chunks(begin[shuffle], start[shuffle], end[shuffle])

    def histories(self, chunks: Chunks) -> tuple[np.ndarray, HistoryRows]:
        """Return the events of some chunks, [B] their rows, and their histories."""
        row, position = ranges(chunks.start, chunks.end)
        length = (self.second[chunks.end - 1] if self.kind.causal else chunks.end) - chunks.begin
        column = np.arange(max(1, length.max(initial=0)))
        positions = np.minimum(chunks.begin[:, None] + column, len(self.items) - 1)
        items = np.where(column < length[:, None], self.items[positions], -1)
        begin = chunks.begin[row]
        if self.kind.causal:
            last = self.second[position]
            first = begin if self.kind.from_start else np.maximum(last - self.kind.length, begin)
            own = None
        else:
            first, last, own = begin, chunks.end[row], (position - begin).astype(np.int32)
        first, last = ((bound - begin).astype(np.int32) for bound in (first, last))
        return self.order[position], HistoryRows(items, row.astype(np.int32), first, last, own)

    def positives(self, events: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return the pairs of an event and a candidate that the event's user had an event with.

        Args:
          events: [B] rows.
          candidates: [C] item rows.
        Returns:
          [P, 2] positions in `events` and in `candidates`.
        """
        user = self.user[events]
        row, member = ranges(self.starts[user], self.ends[user])
        pair, place = matches(self.items[member], candidates)
        return np.stack([row[pair], place], axis=1)


def matches(items: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of equal values: [P] positions in `items` and [P] in `candidates`."""
    order = np.argsort(candidates, kind="stable")
    ordered = candidates[order]
    pair, position = ranges(*(np.searchsorted(ordered, items, side) for side in ("left", "right")))
    return pair, order[position]
