"""What is known of users at serving time, and the query that follows from it. Arrow and NumPy only."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from core import names
from core.arrow import STRINGS, read_arrow
from core.queries import Queries
from serving.settings import ServingSettings
from transform.arrow_types import feature_types


@dataclass(frozen=True)
class User:
    """What is known of a user.

    Args:
      features: raw values by column; a missing one is None or absent.
      history: the item ids of their latest events, oldest first.
      history_time: the timestamps of these events in seconds, or empty where they are not known.
      seen: the item ids of all their events.
    """

    features: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[str] = ()
    history_time: Sequence[int] = ()
    seen: Sequence[str] = ()


class UserStore(Protocol):
    """Where users are looked up."""

    def get(self, user_id: str) -> User | None:
        """Return the user of an id, or None for a new one."""
        ...


class ReleaseUsers:
    """The users of a release, as of its training.

    Args:
      folder: of Arrow files, each sorted by user_id and mapped into memory; a lookup is a binary search in each.
    """

    def __init__(self, folder: str | Path):
        self._tables = [read_arrow(path) for path in sorted(Path(folder).glob("*.arrow"))]
        self._ids = [table[names.USER_ID].combine_chunks() for table in self._tables]

    def get(self, user_id: str) -> User | None:
        """Return the user of an id, or None for one without a row in the users table."""
        for table, ids in zip(self._tables, self._ids, strict=True):
            row = bisect.bisect_left(_Strings(ids), user_id)
            if row < len(ids) and ids[row].as_py() == user_id:
                [state] = table.slice(row, 1).drop_columns([names.USER_ID]).to_pylist()
                history, times, seen = (state.pop(key) or [] for key in _LISTS)
                return User(state, history, times, seen)
        return None


class _Strings(Sequence[str]):
    """An Arrow array of strings as Python's sequence, which decodes what is looked at alone."""

    def __init__(self, array: pa.Array):
        self._array = array

    def __getitem__(self, place: Any) -> Any:
        return self._array[place].as_py()

    def __len__(self) -> int:
        return len(self._array)


_LISTS = (names.HISTORY, names.HISTORY_TIME, names.EXCLUDE)  # columns of the files that are no features


def query(user_id: str, user: User, settings: ServingSettings, time: int) -> Queries:
    """Return one user's query, to which no relevant items are known.

    Args:
      user_id: the id, also of a user who is new.
      user: what is known of them; of a new user an empty `User`, or one with what the caller knows.
      settings: the release's; its `exclude_seen` says whether items of `user.seen` may be returned.
      time: of the query, in seconds since 1970-01-01 UTC.
    """
    types = feature_types(settings.features.user)
    columns = {name: pa.array([user.features.get(name)], kind) for name, kind in types.items()}
    return Queries(
        users=pa.table({names.USER_ID: pa.array([user_id])} | columns),
        time=np.array([time]),
        history=pa.array([list(user.history)], STRINGS),
        seen=pa.array([list(user.seen) if settings.exclude_seen else []], STRINGS),
        relevant_offsets=np.zeros(2, np.int64),
        relevant_items=np.zeros(0, np.int32),
        history_time=pa.array([list(user.history_time)], pa.list_(pa.int64())),
    )
