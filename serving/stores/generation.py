"""Whether the servers of a store use its cache, and which entries: a row of the database that all of them read.

Functions of a connection. `serving.stores.cached` says what the row is for.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

tables = sa.MetaData()
_rows = sa.Table(  # one row
    "cache_generation",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("store", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("used", sa.Boolean, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("refusals", sa.BigInteger, nullable=False),
)
_COLUMNS = [_rows.c.store, _rows.c.number, _rows.c.used, _rows.c.run, _rows.c.refusals]


@dataclass(frozen=True)
class Generation:
    """The generation of the entries that may be used.

    Args:
      store: an id of the database, which no other one has.
      number: the number of the generation; 0 before the first one.
      used: whether the cache is used.
      run: the process of Redis that the generation belongs to, the last one while the cache is not used.
      refusals: how often a process said that the cache must not be used.
    """

    store: str
    number: int
    used: bool
    run: str
    refusals: int


def make(connection: sa.Connection, insert: Callable[[sa.Table], Any]) -> None:
    """Make the table and its row if they are missing."""
    tables.create_all(connection)
    first = {"id": 1, "store": uuid.uuid4().hex, "number": 0, "used": False, "run": "", "refusals": 0}
    connection.execute(insert(_rows).values(first).on_conflict_do_nothing())


def read(connection: sa.Connection) -> Generation:
    """Return the present generation."""
    return Generation(*connection.execute(sa.select(*_COLUMNS)).one())


def suspend(connection: sa.Connection) -> Generation:
    """Let no process use the cache, and return the generation, which is a new one if the cache was used until now."""
    c = _rows.c
    number = sa.case((c.used, c.number + 1), else_=c.number)
    changed = sa.update(_rows).values(number=number, used=False, refusals=c.refusals + 1)
    return Generation(*connection.execute(changed.returning(*_COLUMNS)).one())


def resume(connection: sa.Connection, seen: Generation, run: str) -> None:
    """Let all processes use a Redis from now on, in a new generation, unless the row is another than the one seen."""
    c = _rows.c
    same = [c.number == seen.number, c.refusals == seen.refusals, c.used == sa.false()]
    connection.execute(sa.update(_rows).where(*same).values(number=c.number + 1, used=True, run=run))
