"""The store in a database, behind a Redis that holds what queries need to know of users.

The database has the truth; a Redis that is gone, slow, full or wrong costs time, and no right answer. An entry of Redis
is what the database knew of a user. Who reads after a write was acknowledged finds the write, in any process:

1. A reader that misses an entry takes a lease in its place before it reads the database, and replaces this very lease
   by the entry. A writer deletes entry and lease after its commit, before it acknowledges. So an entry that is there
   later was read from the database after the commit. A lease that Redis lost, in whatever way, is filled by nobody.
2. A writer deletes them before its commit as well, and leaves a mark there, so that no lease is given until it is done.
   If it is killed after the commit, or does not know whether the commit succeeded, the mark stays for `cache.BLOCK_S`,
   and there is no old entry. Where Redis lost or never got the mark, an old entry lives for `cache.TTL_S` at most; it
   lacks only what was never acknowledged.
3. Entries belong to a generation, a row of the database (`serving.stores.generation`), and a generation to one process
   of one Redis. A reader uses the entries of the generation that the row had at most TRUST_S ago, if it got them from
   that process. A writer that could not delete at that process says so in the row, waits until nobody trusts the
   generation any more, and acknowledges then. While the row stays so, no further write waits. So a Redis that one
   writer does not reach and others do, one that restarts with entries of an hour ago, and two that answer at one
   address cost hits only. Unless a writer deleted in a generation that it may trust, it looks at the row after its
   commit, so that a generation that begins later begins with its write.
4. A new generation begins when no writer has complained for PAUSE_S, which is longer than TRUST_S.

A server that writes to the database without this cache breaks point 1: all servers of a database need the same one.
"""

import contextlib
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from serving.stores import generation
from serving.stores.cache import Cache, CacheError, Taken
from serving.stores.generation import Generation
from serving.stores.sql import SqlStore
from serving.stores.store import Event, Known, StoreError

log = logging.getLogger("twostep.serve")
T = TypeVar("T")
TRUST_S = 1.0  # how long a process trusts the row
PAUSE_S = 10.0  # how long the cache is not used after a writer failed to delete from it; longer than TRUST_S
RETRY_S = 2.0  # how long the reads, or the writes, of a process do not ask a Redis that failed them
TOLD_S = 60.0  # how long a process does not log a failure again
LEAST, MOST = 50, 1000  # the number of events in an entry; a longer history is read from the database
MOST_BYTES = 256 * 1024  # the size of an entry; a larger one is not written
_FORMAT = 1  # raise it when entries change


@dataclass(frozen=True)
class _Entry:
    """What an entry says of a user.

    Args:
      length: the maximum number of its events.
      features: the features; None if none were put.
      rows: id, item, timestamp and rating of the latest events, oldest first.
      seen: the items of all events, if there may be more than `length`.
    """

    length: int
    features: dict[str, Any] | None
    rows: list[list[Any]]
    seen: list[str]

    def has(self, length: int) -> bool:
        """Return whether a history of a length can be cut from the entry."""
        return length <= self.length or len(self.rows) < self.length

    def events(self, user_id: str, length: int) -> list[Event]:
        """Return the latest events of the user."""
        return [Event(number, user_id, *rest) for number, *rest in self.rows[-length:]]

    def items(self) -> list[str]:
        """Return the items of all events, each once."""
        return self.seen or list(dict.fromkeys(item for _, item, *_ in self.rows))

    def text(self) -> bytes:
        """Return the entry as JSON."""
        return json.dumps([self.length, self.features, self.rows, self.seen], separators=(",", ":")).encode()

    @staticmethod
    def of(text: bytes) -> "_Entry":
        """Return the entry of a JSON text. Raises: ValueError or TypeError for anything else."""
        length, features, rows, seen = json.loads(text)
        if not (isinstance(features, dict | None) and isinstance(seen, list) and all(len(row) == 4 for row in rows)):
            raise ValueError("should have an object or null, a list of lists of four values, and a list")
        return _Entry(int(length), features, rows, seen)


class CachedStore(SqlStore):
    """A store in a database behind a Redis; it may be used by several threads, and by several processes with one Redis.

    Args:
      url: the URL of the database, as for `SqlStore`.
      cache: the URL of the Redis, as for `Cache`.
    """

    def __init__(self, url: sa.URL, cache: str):
        super().__init__(url)
        self._cache = Cache(cache)
        self.count: Callable[[str, int], None] = lambda result, number: None  # counts hits, misses and errors
        self._lock = threading.Lock()
        self._row: tuple[float, Generation] | None = None  # the row, and when it began to be read
        self._paused: tuple[float, Generation] | None = None  # a row that forbids the cache, and when it was first seen
        self._ends: tuple[float, int] = (0.0, -1)  # when nobody trusts what was before a generation any more
        self._length, self._told = LEAST, -math.inf
        self._retry = {"read": 0.0, "write": 0.0}  # when Redis may be asked again

    # ---- reads ----

    def histories(self, user_ids: Sequence[str], length: int) -> dict[str, list[Event]]:
        """Return the latest `length` events of each user that has any, oldest first."""
        found = {each: entry.events(each, length) for each, entry in self._entries(user_ids, length).items()}
        return {each: events for each, events in found.items() if events}

    def seen(self, user_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the items of all events of each user that has any, each once."""
        found = {each: entry.items() for each, entry in self._entries(user_ids, 1).items()}
        return {each: items for each, items in found.items() if items}

    def users(self, user_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the features of those of the users that were put."""
        found = {each: entry.features for each, entry in self._entries(user_ids, 1).items()}
        return {each: features for each, features in found.items() if features is not None}

    def known(self, user_ids: Sequence[str], length: int, with_seen: bool) -> dict[str, Known]:
        """Return what a query needs to know of each user, in one call of Redis if it has all of them."""
        found = {}
        for each, entry in self._entries(user_ids, length).items():
            events = entry.events(each, length)
            found[each] = Known(events, entry.features, entry.items() if with_seen and len(events) == length else [])
        return found

    def _entries(self, user_ids: Sequence[str], length: int) -> dict[str, _Entry]:
        """Return the entries of users with a history of a length, from Redis or else the database."""
        users = list(dict.fromkeys(user_ids))
        row = self._trusted()
        if length > MOST or not row.used or not users:
            return self._from_database(users, length)
        self._length = max(self._length, length)
        keys = {_key(row, each): each for each in users}
        mark = f"{_FORMAT}:{row.number}:"
        taken = self._asked(lambda: self._cache.take(list(keys), mark))
        if taken is not None and taken.run != row.run:
            self._met(taken.run)
            taken = None
        if taken is None or self._trusted() != row:  # the row was read again if it was too old to trust the answer
            return self._from_database(users, length)
        found = self._read(taken, keys, length)
        missing = [each for each in users if each not in found]
        self.count("hit", len(found))
        if missing:
            read = self._from_database(missing, self._length)
            self._fill(taken, mark, {_key(row, each): entry for each, entry in read.items()})
            found |= read
        return {each: found[each] for each in users}

    def _read(self, taken: Taken, keys: Mapping[str, str], length: int) -> dict[str, _Entry]:
        """Return those of the entries that can be read and are long enough; the others are deleted."""
        found, useless = {}, []
        for key, text in taken.found.items():
            try:
                entry = _Entry.of(text)
            except (ValueError, TypeError):
                self._failed("an entry cannot be read")  # nor be logged, since it is about a user
            else:
                if entry.has(length):
                    found[keys[key]] = entry
                    continue
            useless.append(key)
        if useless:
            self._asked(lambda: self._cache.release(useless))
        return found

    def _fill(self, taken: Taken, mark: str, entries: Mapping[str, _Entry]) -> None:
        """Write those of the entries that the reader may fill."""
        texts = {key: entry.text() for key, entry in entries.items() if key in taken.missing}
        texts = {key: text for key, text in texts.items() if len(text) <= MOST_BYTES}
        refused = self._asked(lambda: self._cache.fill(taken, mark, texts)) if texts else None
        if refused:
            self._failed("Redis has no memory for further entries")

    def _from_database(self, users: Sequence[str], length: int) -> dict[str, _Entry]:
        """Return the entries of users as the database has them."""
        self.count("miss", len(users))
        events, features = super().histories(users, length), super().users(users)
        more = [each for each, own in events.items() if len(own) == length]
        seen = super().seen(more) if more else {}
        found = {}
        for each in users:
            rows = [[own.id, own.item_id, own.timestamp, own.rating] for own in events.get(each, [])]
            found[each] = _Entry(length, features.get(each), rows, seen.get(each, []))
        return found

    # ---- writes ----

    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Add events, and return for each whether it is new."""
        with self._changing({event.user_id for event in events}):
            return super().add_events(events)

    def put_user(self, user_id: str, features: Mapping[str, Any]) -> None:
        """Replace the features of a user."""
        with self._changing({user_id}):
            super().put_user(user_id, features)

    def erase_user(self, user_id: str) -> int:
        """Delete what is known of a user from the database and from Redis, and return the number of rows."""
        with self._changing({user_id}):
            return super().erase_user(user_id)

    @contextlib.contextmanager
    def _changing(self, users: set[str]) -> Iterator[None]:
        """Let nobody use the entries of users from the end of the block on. An error leaves the mark of point 2."""
        row = self._row[1] if self._row else self._trusted()
        keys = [_key(row, each) for each in users]
        self._asked(lambda: self._cache.block(keys), "write")
        yield
        run = self._asked(lambda: self._cache.release(keys), "write")
        if run is not None:
            row = self._trusted()
            if not row.used or row.run != run:
                row = self._look()
            if row.run == run:
                return
        if run is None or row.used:
            row = self._suspend()
        ends, _ = self._note(row)
        time.sleep(max(0.0, ends - time.monotonic()))

    # ---- the row ----

    def _trusted(self) -> Generation:
        """Return the row as it was at most TRUST_S ago. Raises: StoreError."""
        if self._row is not None and time.monotonic() <= self._row[0] + TRUST_S:
            return self._row[1]
        return self._look()

    def _look(self) -> Generation:
        """Return the row as it is, and begin a new generation if it is time to. Raises: StoreError."""
        began = time.monotonic()
        with self._reading() as connection:
            row = generation.read(connection)
        if not row.used and self._may_resume(row):
            run = self._asked(self._cache.run)
            if run is not None:
                with contextlib.suppress(StoreError):  # a read goes on where nothing can be written
                    began, row = time.monotonic(), self._resume(row, run)
        self._row = (began, row)
        return row

    def _may_resume(self, row: Generation) -> bool:
        """Return whether no writer has complained for a time, or the cache was never used."""
        if row.number == 0:
            return True
        self._note(row)
        with self._lock:
            if self._paused is None or self._paused[1] != row:
                self._paused = (time.monotonic(), row)
            return time.monotonic() >= self._paused[0] + PAUSE_S

    def _resume(self, row: Generation, run: str) -> Generation:
        with self._writing() as connection:
            generation.resume(connection, row, run)
            row = generation.read(connection)
        if row.used:
            log.info("the cache is used, in generation %s", row.number)
        return row

    def _suspend(self) -> Generation:
        """Let no process use the cache for PAUSE_S, and return the row. Raises: StoreError."""
        began = time.monotonic()
        with self._writing() as connection:
            row = generation.suspend(connection)
        self._note(row)
        self._row = (began, row)
        return row

    def _met(self, run: str) -> None:
        """Let no process use the cache if the generation belongs to another process of Redis."""
        row = self._look()
        if row.used and row.run != run:
            with contextlib.suppress(StoreError):  # a read goes on where nothing can be written
                self._suspend()

    def _note(self, row: Generation) -> tuple[float, int]:
        """Return when nobody trusts what was before a row without cache any more, and its number."""
        with self._lock:
            if self._ends[1] != row.number:
                self._ends = (time.monotonic() + TRUST_S, row.number)
                log.warning("the cache is not used by any server for %g s or longer", PAUSE_S)
            return self._ends

    # ---- Redis ----

    def _asked(self, call: Callable[[], T], kind: str = "read") -> T | None:
        """Return what Redis answers; None if it fails, or failed a moment ago."""
        if time.monotonic() < self._retry[kind]:
            return None
        try:
            return call()
        except CacheError as error:
            self._retry[kind] = time.monotonic() + RETRY_S
            self._failed(str(error))
            return None

    def _failed(self, problem: str) -> None:
        """Count a failure, and log it unless one was logged lately."""
        self.count("error", 1)
        if time.monotonic() >= self._told + TOLD_S:
            self._told = time.monotonic()
            log.warning("the cache fails, so the database is asked: %s", problem)

    def close(self) -> None:
        """Close all connections."""
        self._cache.close()
        super().close()


def _key(row: Generation, user_id: str) -> str:
    """Return the key of a user, which no other database has."""
    return f"twostep:{row.store}:{user_id}"
