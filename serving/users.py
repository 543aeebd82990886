"""Users at serving time, and the queries built from them. Arrow and NumPy only."""

import bisect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from core import names
from core.arrow import STRINGS, read_arrow
from core.queries import Queries
from serving.settings import ServingSettings
from serving.stores.store import Event
from transform.arrow_types import feature_types


@dataclass(frozen=True)
class User:
    """A user's features and events.

    Args:
      features: raw values by column; a missing one is None or absent.
      history: the item ids of the latest events, oldest first.
      history_time: the timestamps of these events in seconds; empty if unknown.
      seen: the item ids of all events.
      released: the user in the release, whom this one was made from; None without one.
    """

    features: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[str] = ()
    history_time: Sequence[int] = ()
    seen: Sequence[str] = ()
    released: "User | None" = field(default=None, compare=False, repr=False)


class UserStore(Protocol):
    """A store of users."""

    def get(self, user_id: str) -> User | None:
        """Return the user with an id; None for a new user."""
        ...


class ReleaseUsers:
    """The users of a release, with their features and events up to the data that the release was made from.

    Args:
      folder: the folder of Arrow files, each sorted by user_id and mapped into memory; a lookup is a binary search in
        each file.
    """

    def __init__(self, folder: str | Path):
        self._tables = [read_arrow(path) for path in sorted(Path(folder).glob("*.arrow"))]
        self._ids = [table[names.USER_ID].combine_chunks() for table in self._tables]

    def get(self, user_id: str) -> User | None:
        """Return the user with an id; None for a user who is not in the files."""
        for table, ids in zip(self._tables, self._ids, strict=True):
            row = bisect.bisect_left(_Strings(ids), user_id)
            if row < len(ids) and ids[row].as_py() == user_id:
                [state] = table.slice(row, 1).drop_columns([names.USER_ID]).to_pylist()
                history, times, seen = (state.pop(key) or [] for key in _LISTS)
                return User(state, history, times, seen)
        return None

    def first(self, k: int) -> list[str]:
        """Return the ids of the first k users of the first files."""
        found: list[str] = []
        for ids in self._ids:
            found += ids.slice(0, k - len(found)).to_pylist()
        return found


class _Strings(Sequence[str]):
    """An Arrow array of strings as a sequence, which decodes only the strings that are read."""

    def __init__(self, array: pa.Array):
        self._array = array

    def __getitem__(self, index: Any) -> Any:
        return self._array[index].as_py()

    def __len__(self) -> int:
        return len(self._array)


_LISTS = (names.HISTORY, names.HISTORY_TIME, names.EXCLUDE)  # columns of the files that are not features


def fits(value: Any, kind: pa.DataType) -> bool:
    """Return whether a column of a type can have a value."""
    return all_fit([value], kind)


def all_fit(values: Collection[Any], kind: pa.DataType) -> bool:
    """Return whether a column of a type can have all of some values."""
    if pa.types.is_nested(kind) and any(isinstance(value, str) for value in values):
        return False  # Arrow would take its letters for the values
    try:
        pa.array(list(values), kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return False
    return True


def fitting(features: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """Return the features that a release can read; others were stored under a release with other features."""
    return {name: value for name, value in features.items() if name in columns and fits(value, columns[name])}


def merged(
    released: User | None,
    events: Sequence[Event],
    features: Mapping[str, Any] | None,
    length: int,
    seen: Sequence[str] = (),
) -> User | None:
    """Return a user as a release and a store know it; None if neither does.

    An event that is in both counts once.

    Args:
      released: the user in the release.
      events: the latest events in the store, oldest first.
      features: the features in the store, which replace those of the release one by one.
      length: the maximum length of the history.
      seen: the items of all events in the store, if there are more than the latest ones.
    """
    if released is None and not events and features is None:
        return None
    in_files, released = released, released or User()
    known = list(zip(released.history, released.history_time, strict=False))
    if len(known) < len(released.history):  # the times are unknown: such events are the oldest
        known = [(item, 0) for item in released.history]
    in_release = set(known)
    own = [(event.item_id, event.timestamp) for event in events]
    both = sorted([*known, *(pair for pair in own if pair not in in_release)], key=lambda pair: pair[1])[-length:]
    return User(
        {**released.features, **(features or {})},
        [item for item, _ in both],
        [when for _, when in both],
        list(dict.fromkeys([*released.seen, *seen, *(item for item, _ in own)])),
        in_files,
    )


def query(user_id: str, user: User, settings: ServingSettings, time: int) -> Queries:
    """Return the query of one user; see `queries`."""
    return queries([user_id], [user], settings, [time])


def queries(
    user_ids: Sequence[str],
    users: Sequence[User],
    settings: ServingSettings,
    times: Sequence[int],
    excluded: Sequence[Sequence[str]] | None = None,
) -> Queries:
    """Return the queries of Q users, without relevant items.

    Args:
      user_ids: the ids, which may be those of new users.
      users: the users' features and events; an empty `User` for a new user.
      settings: the settings of the release; with `exclude_seen` the items of `User.seen` are not returned.
      times: timestamps of the queries, in seconds since 1970-01-01 UTC.
      excluded: the ids of further items that are not returned.
    """
    types = feature_types(settings.features.user)
    columns = {name: pa.array([user.features.get(name) for user in users], kind) for name, kind in types.items()}
    seen = [list(user.seen) if settings.exclude_seen else [] for user in users]
    if excluded is not None:
        seen = [[*ids, *more] for ids, more in zip(seen, excluded, strict=True)]
    return Queries(
        users=pa.table({names.USER_ID: pa.array(list(user_ids), pa.string())} | columns),
        time=np.array(times, np.int64),
        history=pa.array([list(user.history) for user in users], STRINGS),
        seen=pa.array(seen, STRINGS),
        relevant_offsets=np.zeros(len(users) + 1, np.int64),
        relevant_items=np.zeros(0, np.int32),
        history_time=pa.array([list(user.history_time) for user in users], pa.list_(pa.int64())),
    )
