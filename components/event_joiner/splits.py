"""The methods that assign events to splits.

Under `random`, `kfold` and `given`, a user's events in train need not precede those in eval and test. These methods are
for comparison with published results; a split in time predicts the quality of a served model better.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import names
from core.errors import DataError

SPLITS = (names.TRAIN, names.EVAL, names.TEST)  # the split of an event is stored as an index into this tuple
LEFT_OUT = -1  # an event in no split; in serving, its item is still in the user's history and seen items


def cuts(timestamps: np.ndarray, eval_share: float, test_share: float) -> tuple[int, int]:
    """Return the timestamps at which eval and test of a `temporal` split begin.

    Events of one second are in one split.

    Args:
      timestamps: [N] int64 of all events.
      eval_share: the share of the events in eval.
      test_share: the share of the events in test.
    """
    if not len(timestamps):
        return 0, 0
    first, second = np.quantile(timestamps, _edges(eval_share, test_share), method="higher")
    return int(first), int(second)


def temporal(timestamps: np.ndarray, cut: tuple[int, int]) -> np.ndarray:
    """Return [N] the split of each event by the timestamps at which eval and test begin."""
    return np.searchsorted(np.asarray(cut), timestamps, side="right").astype(np.int8)


def temporal_per_user(
    starts: np.ndarray, counts: np.ndarray, seconds: np.ndarray, eval_share: float, test_share: float
) -> np.ndarray:
    """Return [N] the split of each event by its position among its user's events.

    The events are sorted by user and timestamp. A user's events of one second are all in the split of the last of them,
    and those of the user's first second are in train.

    Args:
      starts: [N] the index of the first event of the same user.
      counts: [N] the number of events of the same user.
      seconds: [N] the index of the first event of the same user and second.
      eval_share, test_share: event i of n, from 0, is in test if i/n ≥ 1 - test_share, and in eval if not and
        i/n ≥ 1 - eval_share - test_share.
    """
    ends = np.flatnonzero(np.r_[seconds[1:] != seconds[:-1], np.ones(min(1, len(seconds)), bool)])
    last = ends[np.searchsorted(ends, np.arange(len(seconds)))] if len(seconds) else seconds
    position = np.where(seconds == starts, 0, (last - starts) / counts)
    return np.searchsorted(_edges(eval_share, test_share), position, side="right").astype(np.int8)


def _edges(eval_share: float, test_share: float) -> np.ndarray:
    """Return the shares at which eval and test begin, rounded, since 1 - 0.2 - 0.1 exceeds 0.7 in floating point."""
    return np.round([1 - eval_share - test_share, 1 - test_share], 9)


def leave_one_out(starts: np.ndarray, counts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return [N] the split: a user's last event is test, the last event of the previous second with events is eval.

    The other events of these two seconds are LEFT_OUT, since the order within a second is unknown. If all events of a
    user are in one second, they are train; if they are in two seconds, those of the first are train, and none is eval.

    Args:
      starts, counts, seconds: as for `temporal_per_user`; events of one second are sorted by their content hash.
    """
    last = seconds[starts + counts - 1]
    before = seconds[np.maximum(last - 1, 0)]
    closes = np.r_[seconds[1:] != seconds[:-1], np.ones(min(1, len(seconds)), bool)]
    in_test = (last > starts) & (seconds == last)
    in_eval = (last > starts) & (before > starts) & (seconds == before)
    return np.select([in_test & closes, in_eval & closes, in_test | in_eval], [2, 1, LEFT_OUT], 0).astype(np.int8)


def hashes(ids: pa.ChunkedArray) -> np.ndarray:
    """Return [N] uint64 the hash of each id, equal on every worker and in every run."""
    import pandas as pd

    parts = [pd.util.hash_array(chunk.to_numpy(zero_copy_only=False)) for chunk in ids.chunks if len(chunk)]
    return np.concatenate([np.zeros(0, np.uint64), *parts])


def shares(seed: int, users: np.ndarray, items: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Return [N] a pseudo-random number in [0, 1) for each event, which depends on its content and the seed alone.

    Events with the same user, item and second have the same number, and so are in the same split.

    Args:
      seed: the seed.
      users, items: [N] `hashes` of the ids.
      timestamps: [N] int64.
    """
    import pandas as pd

    drawn = np.full(len(timestamps), np.uint64(seed), dtype=np.uint64)
    for part in (users, items, pd.util.hash_array(timestamps)):
        # Hashed in sequence, so that user 1 with item 2 differs from user 2 with item 1.
        drawn = pd.util.hash_array(drawn + part)
    return (drawn >> np.uint64(11)) / 2.0**53


def random(drawn: np.ndarray, eval_share: float, test_share: float) -> np.ndarray:
    """Return [N] the split of each event by its number in [0, 1) from `shares`."""
    return np.searchsorted(_edges(eval_share, test_share), drawn, side="right").astype(np.int8)


def kfold(drawn: np.ndarray, again: np.ndarray, fold: int, folds: int, eval_share: float) -> np.ndarray:
    """Return [N] the split: fold `fold` of `folds` is test, and a share of the others eval.

    Args:
      drawn, again: [N] numbers in [0, 1) from `shares`, under two seeds; `drawn` decides the fold, `again` eval.
      fold: the number of the fold, from 1; every event is test in exactly one fold.
      folds: the number of folds.
      eval_share: the share of the events outside the test fold that is eval.
    """
    is_test = (drawn * folds).astype(np.int64) == fold - 1
    return np.select([is_test, again < eval_share], [2, 1], 0).astype(np.int8)


def given(column: pa.Array, drawn: np.ndarray, has_eval: bool, eval_share: float) -> np.ndarray:
    """Return [N] the split that a column holds.

    Args:
      column: [N] `train`, `eval` or `test`.
      drawn: [N] numbers in [0, 1) from `shares`.
      has_eval: whether any event of the whole table is eval; if not, a share of train becomes eval.
      eval_share: the share of train that becomes eval.
    Raises:
      ValueError: the column holds another value.
    """
    found = pc.index_in(column, value_set=pa.array(SPLITS))
    if found.null_count:
        raise ValueError(f"the split of an event should be one of {', '.join(SPLITS)}; see `check_given`")
    split = found.to_numpy(zero_copy_only=False).astype(np.int8)
    return split if has_eval else np.where((split == 0) & (drawn < eval_share), 1, split).astype(np.int8)


def check_given(column: pa.ChunkedArray, name: str) -> bool:
    """Check the column of a `given` split, and return whether any event is eval.

    Args:
      column: the split of every event of the table.
      name: the name of the column.
    Raises:
      DataError: a value is not a split, or train or test has no event.
    """
    counts = {one["values"]: one["counts"] for one in column.value_counts().to_pylist()}
    wrong = {value: count for value, count in counts.items() if value not in SPLITS}
    if wrong:
        value, count = next(iter(wrong.items()))
        raise DataError(
            names.INTERACTIONS,
            f"column {name!r}",
            f"{'an empty value' if value is None else repr(value)} is not a split ({count:,} such events)",
            f"Write one of {', '.join(SPLITS)} for every event.",
        )
    missing = [split for split in (names.TRAIN, names.TEST) if split not in counts]
    if missing:
        raise DataError(
            names.INTERACTIONS,
            f"column {name!r}",
            f"no event is {' or '.join(missing)}; there are {', '.join(counts) or 'no events'}",
            "Write `train` for the training events and `test` for the events of the evaluation.",
        )
    return names.EVAL in counts


def check_none_empty(rows: dict[str, int], method: str) -> None:
    """Raise DataError if a split has no event."""
    empty = [split for split in SPLITS if not rows.get(split)]
    if empty:
        found = ", ".join(f"{split} {rows.get(split, 0):,}" for split in SPLITS)
        raise DataError(
            names.INTERACTIONS,
            f"split `{method}`",
            f"leaves {' and '.join(empty)} empty ({found} events)",
            "Raise `split.eval` and `split.test`, use another `split.method`, or add events.",
        )
