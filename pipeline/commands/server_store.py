"""The database and the cache of a server, as commands name them."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError

if TYPE_CHECKING:
    import sqlalchemy

    from serving.stores.sql import SqlStore

STORE = "TWOSTEP_STORE"  # the variable of the environment with the URL of the database
REDIS = "TWOSTEP_REDIS"  # the variable of the environment with the URL of the Redis


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the option `--store`."""
    parser.add_argument(
        "--store",
        metavar="URL",
        help="the database of users, items, events and answers: sqlite:FILE or postgresql://USER@HOST/NAME; by default "
        f"that of the variable {STORE}, or the file serve.sqlite beside the folder of the releases",
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add the option `--cache`."""
    parser.add_argument(
        "--cache",
        metavar="URL",
        help="a Redis that holds what queries need to know of users: redis://HOST:PORT/NUMBER, or rediss:// for TLS; "
        f"by default that of the variable {REDIS}, or none. All servers of a database need the same one",
    )


def cache_url(text: str | None) -> str | None:
    """Return the URL of the Redis; None for none.

    Args:
      text: the value of `--cache`; None for that of the variable.
    Raises:
      UsageError: the text is not a URL of a Redis.
    """
    text = text or os.environ.get(REDIS) or None
    if text is None:
        return None
    from serving.stores import cache

    if not cache.is_url(text):
        found = text.partition(":")[0] if "://" in text else "no scheme"  # nothing else, since there may be a password
        raise UsageError(f"--cache: should be redis://HOST:PORT/NUMBER, or rediss:// for TLS; found {found}")
    return text


def url(text: str | None, location: str | Path | None) -> "sqlalchemy.URL":
    """Return the URL of the database.

    Args:
      text: the value of `--store`; None for that of the variable, or the file beside the releases.
      location: the folder or URI of the releases; None if it was not given.
    Raises:
      UsageError: the text is not a URL of SQLite or PostgreSQL, or is missing and there is no folder of releases.
    """
    import sqlalchemy

    from serving.stores.sql import sqlite_url

    text = text or os.environ.get(STORE) or None
    if text is None:
        if location is None:
            raise UsageError("--store: is missing. Give sqlite:FILE or postgresql://…, or the folder of the releases")
        if not isinstance(location, Path):
            raise UsageError(f"--store: releases at {location} need a database: sqlite:FILE or postgresql://…")
        return sqlite_url(location.parent / "serve.sqlite")
    scheme, _, rest = text.partition(":")
    if scheme == "sqlite" and rest:
        return sqlite_url(Path(rest))
    if scheme == "postgresql":
        with contextlib.suppress(sqlalchemy.exc.ArgumentError):
            return sqlalchemy.make_url(text).set(drivername="postgresql+pg8000")
    raise UsageError(
        f"--store: should be sqlite:FILE or postgresql://USER@HOST/NAME; found {scheme!r} before the colon"
    )


@contextlib.contextmanager
def opened(text: str | None, source: str | Path | None) -> "Iterator[SqlStore]":
    """Yield the store of a server that has run before.

    Args:
      text: the value of `--store`.
      source: the releases that the server was given, as a folder, a URI or a configuration; None without.
    Raises:
      UsageError: as `url`, or the file of the database does not exist.
      StoreError: the database cannot be used.
    """
    from pipeline.commands import release_source
    from serving.stores.sql import SqlStore

    place = url(text, None if source is None else release_source.find(source).location)
    if place.get_backend_name() == "sqlite" and not Path(place.database or "").is_file():
        raise UsageError(f"--store: {place.database}: no such file. Give the database of a server that has run")
    with contextlib.closing(SqlStore(place)) as store:
        yield store
