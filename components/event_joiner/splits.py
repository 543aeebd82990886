"""Which split each event belongs to.

Of `random`, `kfold` and `given` a user's events of one split need not follow those of another: they are for published
tables, which were made so, and tell less of what a model will be worth tomorrow than a cut in time.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import names
from core.errors import DataError

SPLITS = (names.TRAIN, names.EVAL, names.TEST)  # an event's split is an index into this
LEFT_OUT = -1  # an event of no split; only what is known of its user as of now holds it


def cuts(timestamps: np.ndarray, eval_share: float, test_share: float) -> tuple[int, int]:
    """The two global times of a `temporal` split.

    Args:
      timestamps: [N] int64 of all events.
      eval_share: share of the events between the two times.
      test_share: share of the events from the second on.
    Returns:
      (start of eval, start of test); events of one second fall on one side.
    """
    if not len(timestamps):
        return 0, 0
    first, second = np.quantile(timestamps, _edges(eval_share, test_share), method="higher")
    return int(first), int(second)


def temporal(timestamps: np.ndarray, cut: tuple[int, int]) -> np.ndarray:
    """[N] split of each event by two global times."""
    return np.searchsorted(np.asarray(cut), timestamps, side="right").astype(np.int8)


def temporal_per_user(
    starts: np.ndarray, counts: np.ndarray, seconds: np.ndarray, eval_share: float, test_share: float
) -> np.ndarray:
    """Return the split [N] by the place of an event among its user's, events sorted by user and time.

    The events of one second have the split of the last of them, as those of the second of a `temporal` cut fall behind
    it. A user's first second is train, so that something is known of each user.

    Args:
      starts: [N] index of the first event of the event's user.
      counts: [N] how many events that user has.
      seconds: [N] index of the first event of the event's user and second.
      eval_share, test_share: an event at place i of n is in test from i/n ≥ 1 - test_share on.
    """
    ends = np.flatnonzero(np.r_[seconds[1:] != seconds[:-1], np.ones(min(1, len(seconds)), bool)])
    last = ends[np.searchsorted(ends, np.arange(len(seconds)))] if len(seconds) else seconds
    place = np.where(seconds == starts, 0, (last - starts) / counts)
    return np.searchsorted(_edges(eval_share, test_share), place, side="right").astype(np.int8)


def _edges(eval_share: float, test_share: float) -> np.ndarray:
    """Where eval and test begin, as shares; rounded, since 1 - 0.2 - 0.1 is a little more than 0.7."""
    return np.round([1 - eval_share - test_share, 1 - test_share], 9)


def leave_one_out(starts: np.ndarray, counts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return the split [N]: of a user's last second one event is test, of the second before it one is eval.

    The last event of a second is the one that is kept; the others of these two seconds are LEFT_OUT, since nobody knows
    whether they came before it. A user's only second is train, and of two the first is.

    Args:
      starts, counts, seconds: as of `temporal_per_user`; of one second the events are sorted by their content hash.
    """
    last = seconds[starts + counts - 1]
    before = seconds[np.maximum(last - 1, 0)]
    closes = np.r_[seconds[1:] != seconds[:-1], np.ones(min(1, len(seconds)), bool)]
    in_test = (last > starts) & (seconds == last)
    in_eval = (last > starts) & (before > starts) & (seconds == before)
    return np.select([in_test & closes, in_eval & closes, in_test | in_eval], [2, 1, LEFT_OUT], 0).astype(np.int8)


def hashes(ids: pa.ChunkedArray) -> np.ndarray:
    """Return the hash [N] uint64 of each id, the same on every worker and in every run."""
    import pandas as pd

    parts = [pd.util.hash_array(chunk.to_numpy(zero_copy_only=False)) for chunk in ids.chunks if len(chunk)]
    return np.concatenate([np.zeros(0, np.uint64), *parts])


def shares(seed: int, users: np.ndarray, items: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Return a number [N] in [0, 1) for each event, drawn by what it is, whatever stands beside it and in what order.

    Events of one user, item and second are one event to it, so a repeated event never falls on two sides.

    Args:
      seed: another one draws other numbers.
      users, items: [N] `hashes` of the ids.
      timestamps: [N] int64.
    """
    import pandas as pd

    drawn = np.full(len(timestamps), np.uint64(seed), dtype=np.uint64)
    for part in (users, items, pd.util.hash_array(timestamps)):
        # One after the other, so that user 1 with item 2 is not user 2 with item 1.
        drawn = pd.util.hash_array(drawn + part)
    return (drawn >> np.uint64(11)) / 2.0**53


def random(drawn: np.ndarray, eval_share: float, test_share: float) -> np.ndarray:
    """[N] split of each event by its number in [0, 1), of `shares`."""
    return np.searchsorted(_edges(eval_share, test_share), drawn, side="right").astype(np.int8)


def kfold(drawn: np.ndarray, again: np.ndarray, fold: int, folds: int, eval_share: float) -> np.ndarray:
    """[N] split: fold `fold` of `folds` is test, and a share of the others eval.

    Args:
      drawn, again: [N] two numbers in [0, 1) of `shares`, under two seeds.
      fold: which, from 1; every event is test in exactly one of 1 … folds.
      folds: how many.
      eval_share: share of the events that are not test.
    """
    is_test = (drawn * folds).astype(np.int64) == fold - 1
    return np.select([is_test, again < eval_share], [2, 1], 0).astype(np.int8)


def given(column: pa.Array, drawn: np.ndarray, has_eval: bool, eval_share: float) -> np.ndarray:
    """[N] split as the data say.

    Args:
      column: [N] `train`, `eval` or `test`.
      drawn: [N] numbers in [0, 1) of `shares`.
      has_eval: whether any event of the whole table is eval; if not, a share of train becomes eval.
      eval_share: that share.
    Raises:
      ValueError: a value is none of the three.
    """
    found = pc.index_in(column, value_set=pa.array(SPLITS))
    if found.null_count:
        raise ValueError(f"a given split should be one of {', '.join(SPLITS)}; see `check_given`")
    split = found.to_numpy(zero_copy_only=False).astype(np.int8)
    return split if has_eval else np.where((split == 0) & (drawn < eval_share), 1, split).astype(np.int8)


def check_given(column: pa.ChunkedArray, name: str) -> bool:
    """Whether any event is eval.

    Args:
      column: the split of every event of the table.
      name: what the column is called.
    Raises:
      DataError: a value is none of the three splits, or train or test has no event.
    """
    counts = {one["values"]: one["counts"] for one in column.value_counts().to_pylist()}
    wrong = {value: count for value, count in counts.items() if value not in SPLITS}
    if wrong:
        value, count = next(iter(wrong.items()))
        raise DataError(
            names.INTERACTIONS,
            f"column {name!r}",
            f"{'an empty value' if value is None else repr(value)} is no split ({count:,} such events)",
            f"Write one of {', '.join(SPLITS)} for every event.",
        )
    missing = [split for split in (names.TRAIN, names.TEST) if split not in counts]
    if missing:
        raise DataError(
            names.INTERACTIONS,
            f"column {name!r}",
            f"no event is {' or '.join(missing)}; there are {', '.join(counts) or 'no events'}",
            "Mark the events to learn from `train` and those to be judged by `test`.",
        )
    return names.EVAL in counts


def check_none_empty(rows: dict[str, int], method: str) -> None:
    """Raises: DataError when a split has no event."""
    empty = [split for split in SPLITS if not rows.get(split)]
    if empty:
        found = ", ".join(f"{split} {rows.get(split, 0):,}" for split in SPLITS)
        raise DataError(
            names.INTERACTIONS,
            f"split `{method}`",
            f"leaves {' and '.join(empty)} empty ({found} events)",
            "Give larger shares in `split.eval` and `split.test`, another `split.method`, or more events.",
        )
