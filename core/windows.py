"""Windows of train before eval, each as long as eval, from which more training lists of the ranker are made."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import names
from core.errors import DataError
from core.queries import first_of_run


@dataclass(frozen=True)
class Window:
    """A window of train.

    Args:
      number: the number of the window, counted back from eval; the latest is 1.
      known, target: [E] bool, the events of train before the window, and those in it.
    """

    number: int
    known: np.ndarray
    target: np.ndarray


def earlier_windows(train: pa.Table, evaluation: pa.Table, count: int, of_each_user: bool) -> list[Window]:
    """Return the last `count` windows of train, latest first, without those that have no events.

    The arguments and errors are those of `windows_before`.
    """
    if not count:
        return []
    before = windows_before(train, evaluation, count, of_each_user)
    windows = (Window(number, before > number, before == number) for number in range(1, count + 1))
    return [window for window in windows if window.target.any()]


def windows_before(train: pa.Table, evaluation: pa.Table, count: int, of_each_user: bool) -> np.ndarray:
    """Return the window of each event of train, counted back from eval.

    Args:
      train: E events with user_id and timestamp.
      evaluation: the events of eval, at least one.
      count: the number of windows.
      of_each_user: whether a window holds as many of a user's events as eval does; otherwise it is a range of
        timestamps as long as eval, the same for all users.
    Returns:
      [E] int64 in 1 … count, and count + 1 for older events; a user's events of one second are in one window.
    Raises:
      DataError: no event is older than all windows.
    """
    if of_each_user:
        windows = np.minimum(_of_each_user(train, evaluation), count + 1)
    else:
        times, eval_times = (part[names.TIMESTAMP].to_numpy() for part in (train, evaluation))
        first = eval_times.min()
        edges = first - (eval_times.max() - first + 1) * np.arange(count, 0, -1)
        windows = count + 1 - np.searchsorted(edges, times, side="right")
    if not (windows > count).any():
        raise DataError(
            "the joined events",
            f"{len(train):,} events of train",
            f"are all within {count} windows as long as eval; a retriever needs events before the first window",
            "Lower `ranking.earlier_windows` or `split.eval`.",
        )
    return windows


def _of_each_user(train: pa.Table, evaluation: pa.Table) -> np.ndarray:
    """Return [E] the window of each train event, where a window has as many events of a user as the user's eval.

    A user's events of one second are all in the window of the first of them. The window of users without events in eval
    is the largest int64.
    """
    users = pa.chunked_array([*train[names.USER_ID].chunks, *evaluation[names.USER_ID].chunks], pa.string())
    user = pc.dictionary_encode(users.combine_chunks()).indices.to_numpy()
    train_user, eval_counts = user[: len(train)], np.bincount(user[len(train) :], minlength=user.max(initial=0) + 1)
    time = train[names.TIMESTAMP].to_numpy()
    order = np.lexsort((time, train_user))
    ends = np.cumsum(np.bincount(train_user, minlength=len(eval_counts)))
    from_end = np.empty(len(train_user), np.int64)
    from_end[order] = ends[train_user[order]] - 1 - first_of_run(train_user[order], time[order])
    lengths = eval_counts[train_user]
    return np.where(lengths > 0, 1 + from_end // np.maximum(lengths, 1), np.iinfo(np.int64).max)
