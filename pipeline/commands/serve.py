"""`twostep serve`: the HTTP server over the release in force."""

import argparse
import os
from pathlib import Path

from core.errors import UsageError
from pipeline.commands import server_store
from pipeline.commands.arguments import add_place, add_public_key
from pipeline.commands.server_store import add_cache, add_store

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
        "--workers", type=int, default=1, help="the number of processes that answer; they share the port (1)"
    )
    add_store(parser)
    add_cache(parser)
    parser.add_argument(
        "--experiment", metavar="FILE", type=Path, help="a YAML file with the arms that users are split into"
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

    values = {"host": arguments.host, "port": arguments.port, "workers": arguments.workers}
    values["token"] = os.environ.get(TOKEN) or None
    values |= _settings(arguments.set, list(values))
    try:
        settings = ServerSettings.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"serve: {mistakes.explained(ServerSettings, error.errors()[0])}") from None
    from pipeline.commands import release_source

    source = release_source.find(arguments.source, arguments.public_key)
    url, cache = server_store.url(arguments.store, source.location), server_store.cache_url(arguments.cache)
    experiment = None
    if arguments.experiment is not None:
        from pipeline.config import experiment_file

        experiment = experiment_file.load(arguments.experiment)
    from pipeline.commands import server_process

    given = server_process.Given(
        source.location,
        tuple(source.trusted),
        tuple(source.modules),
        url,
        cache,
        settings,
        experiment,
        arguments.verbose,
    )
    if settings.workers == 1:
        server_process.alone(given)
    else:
        server_process.by_workers(given)
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
