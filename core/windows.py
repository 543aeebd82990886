"""Windows of events one before the other, each as long as eval: more for a ranker to learn from than eval alone."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import names
from core.errors import DataError
from core.queries import first_of_run


@dataclass(frozen=True)
class Window:
    """A part of train that has events.

    Args:
      number: which it is, counted back from eval, the last of train being 1.
      known, target: [E] bool, the events of train before it, and those in it.
    """

    number: int
    known: np.ndarray
    target: np.ndarray


def earlier_windows(train: pa.Table, evaluation: pa.Table, count: int, of_each_user: bool) -> list[Window]:
    """Those of the last `count` windows of train that have events, the latest first; see `windows_before`."""
    if not count:
        return []
    before = windows_before(train, evaluation, count, of_each_user)
    found = (Window(number, before > number, before == number) for number in range(1, count + 1))
    return [window for window in found if window.target.any()]


def windows_before(train: pa.Table, evaluation: pa.Table, count: int, of_each_user: bool) -> np.ndarray:
    """How many windows before eval each event of train lies.

    Args:
      train: E events with user_id and timestamp.
      evaluation: those of eval, one at least.
      count: how many windows are told apart.
      of_each_user: whether a window is as many of a user's events as they have in eval; otherwise it is as much time as
        eval takes, the same for all.
    Returns:
      [E] int64 in 1 … count, and count + 1 of what is older; a user's events of one second are in one window.
    Raises:
      DataError: nothing is older.
    """
    if of_each_user:
        found = np.minimum(_of_each_user(train, evaluation), count + 1)
    else:
        times, asked = (part[names.TIMESTAMP].to_numpy() for part in (train, evaluation))
        first = asked.min()
        edges = first - (asked.max() - first + 1) * np.arange(count, 0, -1)
        found = count + 1 - np.searchsorted(edges, times, side="right")
    if not (found > count).any():
        raise DataError(
            "the joined events",
            f"{len(train):,} events of train",
            f"are all within {count} windows as long as eval, so that a retriever has nothing to learn from before",
            "Lower `ranking.earlier_windows` or `split.eval`.",
        )
    return found


def _of_each_user(train: pa.Table, evaluation: pa.Table) -> np.ndarray:
    """Return the window [E] of each event by its place among its user's; beyond all where eval has none of the user's.

    Events of one second are all in the window of the first of them, the earlier one.
    """
    users = pa.chunked_array([*train[names.USER_ID].chunks, *evaluation[names.USER_ID].chunks], pa.string())
    user = pc.dictionary_encode(users.combine_chunks()).indices.to_numpy()
    mine, asked = user[: len(train)], np.bincount(user[len(train) :], minlength=user.max(initial=0) + 1)
    time = train[names.TIMESTAMP].to_numpy()
    order = np.lexsort((time, mine))
    ends = np.cumsum(np.bincount(mine, minlength=len(asked)))
    from_end = np.empty(len(mine), np.int64)
    from_end[order] = ends[mine[order]] - 1 - first_of_run(mine[order], time[order])
    each = asked[mine]
    return np.where(each > 0, 1 + from_end // np.maximum(each, 1), np.iinfo(np.int64).max)
