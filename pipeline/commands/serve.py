"""`twostep serve`: the HTTP server over the release in force."""

import argparse
import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError
from pipeline.commands.arguments import add_place, add_public_key

if TYPE_CHECKING:
    import sqlalchemy

# Variables of the environment: the token, and the URL of the database.
TOKEN, STORE = "TWOSTEP_TOKEN", "TWOSTEP_STORE"


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `serve`."""
    parser = subparsers.add_parser(
        "serve",
        help="an HTTP server over the release in force",
        description="Serve the release in force: recommendations, ranking, similar items, events, users and items over "
        f"HTTP. Requests must carry the token in the variable {TOKEN} if it is set; a server that listens on another "
        "address than the loopback needs one.",
    )
    add_place(parser, "source", "the folder or URI of a release or of releases, or a configuration")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="the port to listen on (8080)")
    parser.add_argument(
        "--store",
        metavar="URL",
        help="the database of users, items, events and answers: sqlite:FILE or postgresql://USER@HOST/NAME; by default "
        f"that of the variable {STORE}, or the file serve.sqlite beside the folder of the releases",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the server, such as budget_ms=500; may be repeated (docs/serving.md has all)",
    )
    add_public_key(parser)
    parser.set_defaults(func=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    """Serve until the process is told to end."""
    from pydantic import ValidationError

    from core import mistakes
    from serving.server.settings import ServerSettings

    values = {"host": arguments.host, "port": arguments.port, "token": os.environ.get(TOKEN) or None}
    values |= _settings(arguments.set, list(values))
    try:
        settings = ServerSettings.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"serve: {mistakes.explained(ServerSettings, error.errors()[0])}") from None
    from pipeline.commands import release_source

    source = release_source.find(arguments.source, arguments.public_key)
    url = _store_url(arguments.store or os.environ.get(STORE) or None, source.location)
    import core.tf

    core.tf.without_training()
    _log(arguments.verbose)
    from pipeline.runners import logs

    with tempfile.TemporaryDirectory() as folder, logs.captured(Path(folder) / "log", arguments.verbose):
        from serving.server import run
        from serving.server.current import Place

        place = Place(source.location, source.trusted, source.modules)
        server, listening = run.loaded(place, url, settings)
    run.serve(server, listening)
    return 0


def _settings(given: list[str], others: list[str]) -> dict[str, str]:
    """Return the settings given as KEY=VALUE. Raises: UsageError, also for one that has a place of its own."""
    found = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or key in others:
            own = f"{key} is not set here" if equals else f"found {each!r}"
            raise UsageError(f"--set: should be KEY=VALUE, such as budget_ms=500; {own}")
        found[key] = value
    return found


def _store_url(text: str | None, location: str | Path) -> "sqlalchemy.URL":
    """Return the URL of the database. Raises: UsageError."""
    import sqlalchemy

    from serving.stores.sql import sqlite_url

    if text is None:
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


def _log(verbose: bool) -> None:
    """Print the messages of the server to stderr, and with `verbose` those of libraries."""
    import logging

    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("twostep").setLevel(logging.INFO)
