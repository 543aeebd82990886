"""Which split each event belongs to."""

import numpy as np

from core import names
from core.errors import DataError

SPLITS = (names.TRAIN, names.EVAL, names.TEST)  # an event's split is an index into this


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


def temporal_per_user(starts: np.ndarray, counts: np.ndarray, eval_share: float, test_share: float) -> np.ndarray:
    """[N] split by the place of an event among its user's, events sorted by user and time.

    Args:
      starts: [N] index of the first event of the event's user.
      counts: [N] how many events that user has.
      eval_share, test_share: an event at place i of n is in test from i/n ≥ 1 - test_share on.
    """
    place = (np.arange(len(starts)) - starts) / counts
    return np.searchsorted(_edges(eval_share, test_share), place, side="right").astype(np.int8)


def _edges(eval_share: float, test_share: float) -> np.ndarray:
    """Where eval and test begin, as shares; rounded, since 1 - 0.2 - 0.1 is a little more than 0.7."""
    return np.round([1 - eval_share - test_share, 1 - test_share], 9)


def leave_one_out(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[N] split: a user's last event is test, the one before it eval; a user's only event is train."""
    from_end = counts - (np.arange(len(starts)) - starts)
    return np.select([(from_end == 1) & (counts > 1), (from_end == 2) & (counts > 2)], [2, 1], 0).astype(np.int8)


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
