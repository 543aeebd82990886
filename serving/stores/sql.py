"""The store in a database: SQLite, or PostgreSQL."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from core.printable import one_line
from serving.stores import columns, generation, kept, logged, tables
from serving.stores.store import Answer, Event, Inputs, Item, Known, StoreError

BUSY_S = 10  # how long a process waits for another one that writes to a file of SQLite
SILENT_S = 5  # how long a database on a network may say nothing before it counts as away
IDS_AT_ONCE = 500  # the number of ids in one statement
ANSWERS_AT_ONCE, EVENTS_AT_ONCE = 5_000, 50_000  # the number of rows that are read at once
_READ_ONLY = "read_only"  # the option of connections that only read

_events, _users, _items, _answers, _states = (
    tables.events,
    tables.users,
    tables.items,
    tables.answers,
    tables.states,
)


class SqlStore:
    """A store in a database that SQLAlchemy reaches; it may be used by several threads and processes.

    The database is reached, and its tables are made, at the first use, which may be long after the server started.

    Args:
      url: the URL of the database, such as `sqlite:////srv/store.sqlite` or `postgresql+pg8000://USER@HOST/NAME`.
    """

    def __init__(self, url: sa.URL):
        self._where, self.away = url.render_as_string(hide_password=True), False
        if url.get_backend_name() == "sqlite":
            self._insert: Any = sqlite.insert
            self._engine = sa.create_engine(url, connect_args={"timeout": BUSY_S, "check_same_thread": False})
            sa.event.listen(self._engine, "connect", _configure_sqlite)
            sa.event.listen(self._engine, "begin", _begin)
        else:
            self._insert = postgresql.insert
            self._engine = sa.create_engine(
                url, pool_pre_ping=True, pool_timeout=SILENT_S, connect_args={"timeout": SILENT_S}
            )
        self._reader = self._engine.execution_options(**{_READ_ONLY: True})
        self._made = False

    def _make_tables(self) -> None:
        """Make the tables that the database lacks, at the first call that reaches it."""
        if self._made:
            return
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # tables that two processes make at once are an error there
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7236837)"))
            tables.metadata.create_all(connection)
            kept.tables.create_all(connection)
            generation.make(connection, self._insert)
            columns.add_missing(connection, tables.metadata)
            connection.execute(self._insert(_states).values(id=1, state=0).on_conflict_do_nothing())
            self._begin_versions(connection)
        self._made = True

    def _writing(self) -> contextlib.AbstractContextManager[sa.Connection]:
        """Return a context with a transaction, which is committed at the end of the block. Raises: StoreError."""
        return self._transaction(self._engine)

    def _reading(self) -> contextlib.AbstractContextManager[sa.Connection]:
        """Return a context with a transaction that only reads, and waits for no writer. Raises: StoreError."""
        return self._transaction(self._reader)

    @contextlib.contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            self._make_tables()
            with engine.begin() as connection:
                yield connection
            self.away = False
        except (sa.exc.SQLAlchemyError, OSError) as error:
            self.away = self.away or engine is self._reader
            cause = getattr(error, "orig", None) or error
            problem = f"the store {self._where} cannot be used: {one_line(cause, 300)}"
            raise StoreError(f"{problem}. Try again later") from error

    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Add events, and return for each whether it is new."""
        unique: dict[str, Event] = {}
        for event in events:
            unique.setdefault(event.id, event)
        new: set[str] = set()
        with self._writing() as connection:
            for part in _parts(list(unique.values())):
                rows = [vars(event) for event in part]
                statement = self._insert(_events).values(rows).on_conflict_do_nothing().returning(_events.c.id)
                new |= set(connection.scalars(statement))
        return [unique[event.id] is event and event.id in new for event in events]

    def histories(self, user_ids: Sequence[str], length: int) -> dict[str, list[Event]]:
        """Return the latest `length` events of each user that has any, oldest first."""
        c = _events.c
        columns = [c.id, c.user_id, c.item_id, c.timestamp, c.rating]
        found: dict[str, list[Event]] = {}
        with self._reading() as connection:
            for user_id in dict.fromkeys(user_ids):
                latest = (
                    sa.select(*columns)
                    .where(c.user_id == user_id)
                    .order_by(c.timestamp.desc(), c.number.desc())
                    .limit(length)
                )
                if events := [Event(*row) for row in connection.execute(latest)]:
                    found[user_id] = events[::-1]
        return found

    def seen(self, user_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the items of all events of each user that has any, each once."""
        c = _events.c
        found: dict[str, list[str]] = {}
        with self._reading() as connection:
            for part in _parts(list(dict.fromkeys(user_ids))):
                pairs = sa.select(c.user_id, c.item_id).where(c.user_id.in_(part)).distinct().order_by(c.item_id)
                for user_id, item_id in connection.execute(pairs):
                    found.setdefault(user_id, []).append(item_id)
        return found

    def put_user(self, user_id: str, features: Mapping[str, Any]) -> None:
        """Replace the features of a user."""
        self._put(_users, "user_id", {"user_id": user_id, "features": _json(features)})

    def users(self, user_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the features of those of the users that were put."""
        found: dict[str, dict[str, Any]] = {}
        with self._reading() as connection:
            for part in _parts(list(dict.fromkeys(user_ids))):
                rows = connection.execute(sa.select(_users).where(_users.c.user_id.in_(part)))
                found |= {row.user_id: json.loads(row.features) for row in rows}
        return found

    def known(self, user_ids: Sequence[str], length: int, with_seen: bool) -> dict[str, Known]:
        """Return what a query needs to know of each user; see `serving.stores.store.Store.known`."""
        events, features = self.histories(user_ids, length), self.users(user_ids)
        more = [each for each, own in events.items() if len(own) == length]
        seen = self.seen(more) if with_seen and more else {}
        return {each: Known(events.get(each, []), features.get(each), seen.get(each, [])) for each in user_ids}

    def erase_user(self, user_id: str) -> int:
        """Delete the features, events and answers of a user, with the inputs of these, and return their number."""
        with self._writing() as connection:
            connection.execute(sa.delete(kept.inputs).where(kept.inputs.c.user_id == user_id))
            return sum(
                connection.execute(sa.delete(table).where(table.c.user_id == user_id)).rowcount
                for table in (_users, _events, _answers)
            )

    def put_item(self, item_id: str, item: Item) -> None:
        """Replace what is known of an item."""
        self._change_item(item_id, item, deleted=False)

    def delete_item(self, item_id: str) -> bool:
        """Forget what is known of an item, and return whether there was anything."""
        return self._change_item(item_id, Item(), deleted=True)

    def items(self, since: int = 0) -> tuple[dict[str, Item | None], int]:
        """Return the items that changed after a state, None for a deleted one; and the present state."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(_items).where(_items.c.state > since)).all()
        return {row.item_id: _known(row) for row in rows}, max([since, *(row.state for row in rows)])

    def items_at(self, state: int) -> dict[str, Item]:
        """Return the items as they were known at a state."""
        with self._reading() as connection:
            return kept.items_at(connection, state)

    def add_answers(self, answers: Sequence[Answer], inputs: Sequence[Inputs] = ()) -> None:
        """Add answers, and the inputs of those that are to be made again."""
        rows = [vars(each) | {"items": _json(each.items), "detail": _json(each.detail)} for each in answers]
        with self._writing() as connection:
            self._add(connection, _answers, rows)
            self._add(connection, kept.inputs, [vars(each) for each in inputs])

    def answer(self, request_id: str) -> Answer | None:
        """Return the answer to a request."""
        with self._reading() as connection:
            row = connection.execute(sa.select(_answers).where(_answers.c.request_id == request_id)).one_or_none()
        if row is None:
            return None
        items = tuple(json.loads(row.items))
        return Answer(row.request_id, row.user_id, row.timestamp, row.release, items, json.loads(row.detail))

    def inputs(self, request_id: str) -> Inputs | None:
        """Return the inputs of an answer."""
        with self._reading() as connection:
            return kept.inputs_of(connection, request_id)

    def answer_parts(self, since: int = 0) -> Iterator[pa.Table]:
        """Yield all answers from a timestamp on, oldest first, in tables of bounded length."""
        c = _answers.c
        columns = (c.request_id, c.user_id, c.timestamp, c.release, c["items"], c.detail)
        place = (c.timestamp, c.request_id)
        following = c.timestamp >= since
        # A transaction for each part: a long one would keep SQLite from shortening its log of writes.
        while rows := self._rows(sa.select(*columns).where(following).order_by(*place).limit(ANSWERS_AT_ONCE)):
            yield logged.answers(rows)
            following = sa.tuple_(*place) > sa.tuple_(sa.literal(rows[-1][2], sa.BigInteger), sa.literal(rows[-1][0]))

    def event_parts(self) -> Iterator[pa.Table]:
        """Yield all events, in the order in which they were added, in tables of bounded length."""
        c, last = _events.c, -1
        all_events = sa.select(c.user_id, c.item_id, c.timestamp, c.number).order_by(c.number)
        while rows := self._rows(all_events.where(c.number > last).limit(EVENTS_AT_ONCE)):
            yield logged.events([row[:3] for row in rows])
            last = rows[-1].number

    def _rows(self, statement: sa.Select) -> Sequence[sa.Row]:
        """Return all rows of a statement."""
        with self._reading() as connection:
            return connection.execute(statement).all()

    def delete_answers(self, before: int, most: int) -> int:
        """Delete the oldest answers of those before a timestamp, `most` of them at most, and return their number."""
        c = _answers.c
        oldest = sa.select(c.request_id).where(c.timestamp < before).order_by(c.timestamp).limit(most)
        with self._writing() as connection:
            return connection.execute(sa.delete(_answers).where(c.request_id.in_(oldest))).rowcount

    def delete_inputs(self, before: int, most: int) -> int:
        """Delete the oldest inputs of those before a timestamp, `most` of them at most, and return their number."""
        with self._writing() as connection:
            return kept.delete_inputs(connection, before, most)

    def trim_items(self, before: int) -> int:
        """Delete what items were before a timestamp, unless kept inputs need it, and return the number of versions."""
        with self._writing() as connection:
            return kept.trim(connection, before)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _add(self, connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows, without those whose key is there already."""
        if rows:
            # SQLAlchemy sends many rows in one statement, which it compiles once, only if something is returned.
            [key] = table.primary_key.columns
            connection.execute(self._insert(table).on_conflict_do_nothing().returning(key), rows)

    def _put(self, table: sa.Table, key: str, values: dict[str, Any], connection: sa.Connection | None = None) -> None:
        """Insert a row, or replace the one with the same key."""
        rest = {name: value for name, value in values.items() if name != key}
        statement = self._insert(table).values(values).on_conflict_do_update(index_elements=[key], set_=rest)
        with contextlib.nullcontext(connection) if connection is not None else self._writing() as opened:
            opened.execute(statement)

    def _change_item(self, item_id: str, item: Item, deleted: bool) -> bool:
        """Write what is known of an item under a new state, and return whether it was known before."""
        with self._writing() as connection:
            known = sa.select(_items.c.deleted).where(_items.c.item_id == item_id)
            before = connection.scalars(known).one_or_none()
            if deleted and before is not False:
                return False
            # The row of the state is locked until the end of the transaction, so states become visible in their order.
            raised = sa.update(_states).values(state=_states.c.state + 1).returning(_states.c.state)
            state = connection.scalars(raised).one()
            features = None if item.features is None else _json(item.features)
            key = {"item_id": item_id, "state": state, "deleted": deleted}
            self._put(_items, "item_id", key | vars(item) | {"features": features}, connection)
            version = kept.version(state, item_id, None if deleted else item, int(time.time()))
            connection.execute(sa.insert(kept.versions).values(version))
        return before is False

    def _begin_versions(self, connection: sa.Connection) -> None:
        """Write the items of a database that has no versions of items yet."""
        if connection.execute(sa.select(kept.versions.c.state).limit(1)).first() is None:
            rows = connection.execute(sa.select(_items)).all()
            first = [kept.version(row.state, row.item_id, _known(row), int(time.time())) for row in rows]
            self._add(connection, kept.versions, first)


def _known(row: sa.Row) -> Item | None:
    """Return what a row says of an item; None for a deleted one."""
    if row.deleted:
        return None
    return Item(row.hidden, row.expires, None if row.features is None else json.loads(row.features), row.posted or 0)


def sqlite_url(file: Path) -> sa.URL:
    """Return the URL of a file of SQLite."""
    return sa.URL.create("sqlite", database=str(file))


def _configure_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    """Configure a new connection: writers do not block readers, and what is committed survives a power failure."""
    connection.isolation_level = None  # SQLAlchemy's event `begin` opens transactions
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    """Begin a transaction; one that writes takes its lock now, since a reader that becomes a writer may fail."""
    reads = connection.get_execution_options().get(_READ_ONLY)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield the values in parts that one statement can have."""
    for start in range(0, len(values), IDS_AT_ONCE):
        yield values[start : start + IDS_AT_ONCE]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
