"""The database of a server, as commands name it."""

import argparse
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError

if TYPE_CHECKING:
    import sqlalchemy

    from serving.stores.sql import SqlStore

STORE = "TWOSTEP_STORE"  # the variable of the environment with the URL of the database


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the option `--store`."""
    parser.add_argument(
        "--store",
        metavar="URL",
        help="the database of users, items, events and answers: sqlite:FILE or postgresql://USER@HOST/NAME; by default "
        f"that of the variable {STORE}, or the file serve.sqlite beside the folder of the releases",
    )


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


def opened(store_url: "sqlalchemy.URL") -> "SqlStore":
    """Return the store of a server. Raises: UsageError if its file does not exist, StoreError if it cannot be used."""
    from serving.stores.sql import SqlStore

    if store_url.get_backend_name() == "sqlite" and not Path(store_url.database or "").is_file():
        raise UsageError(f"--store: {store_url.database}: no such file. Give the database of a server")
    return SqlStore(store_url)
