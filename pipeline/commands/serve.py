"""`twostep serve`: the HTTP server over the release in force."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError
from pipeline.commands.arguments import add_place

if TYPE_CHECKING:
    import sqlalchemy

TOKEN = "TWOSTEP_TOKEN"  # the variable of the environment with the token


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
        "the file serve.sqlite in the folder of the releases",
    )
    parser.add_argument(
        "--public-key", metavar="FILE", type=Path, help="a public key that releases must be signed with"
    )
    parser.set_defaults(func=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    """Serve until the process is told to end."""
    from pydantic import ValidationError

    from core import mistakes
    from serving.server.settings import ServerSettings

    values = {"host": arguments.host, "port": arguments.port, "token": os.environ.get(TOKEN) or None}
    try:
        settings = ServerSettings.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"serve: {mistakes.explained(ServerSettings, error.errors()[0])}") from None
    from pipeline.commands import release_source

    source = release_source.find(arguments.source, arguments.public_key)
    url = _store_url(arguments.store, source.location)
    with _quiet(arguments.verbose):
        import core.tf

        from serving.server import run
        from serving.server.current import Place

        core.tf.without_training()
        run.serve(Place(source.location, source.trusted, source.modules), url, settings)
    return 0


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
    raise UsageError(f"--store: should be sqlite:FILE or postgresql://USER@HOST/NAME; found {text!r}")


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Print the messages of the server, and those of libraries only with `-v`."""
    import logging

    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("twostep").setLevel(logging.INFO)
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    yield
