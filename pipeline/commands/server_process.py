"""The processes of `twostep serve`: one that answers, or one that starts several workers."""

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import TwostepError
from serving.server import listening
from serving.server.channel import Channel
from serving.server.settings import METRICS_FOLDER, ServerSettings

if TYPE_CHECKING:
    import sqlalchemy

    from serving.experiments.settings import Experiment
    from serving.server.app import Server


@dataclass(frozen=True)
class Given:
    """What a process that answers is given.

    Args:
      location, trusted, modules: as for `serving.server.current.Place`.
      store: the URL of the database.
      cache: the URL of a Redis before it; None for none.
      settings: the settings of the server.
      experiment: the experiment; None without one.
      verbose: whether the messages of libraries are printed.
    """

    location: str | Path
    trusted: tuple[Path, ...]
    modules: tuple[str, ...]
    store: "sqlalchemy.URL"
    cache: str | None = field(repr=False)  # it may have a password
    settings: ServerSettings
    experiment: "Experiment | None"
    verbose: bool


def alone(given: Given) -> None:
    """Answer in this process, until it is told to end."""
    settings = given.settings
    bound = listening.alone(settings.host, settings.port)
    server = _loaded(given, settings)
    from serving.server import run

    print(_told(server.current.version, settings, bound.getsockname()[1]), flush=True)
    run.serve(server, bound)


def by_workers(given: Given) -> None:
    """Answer in several processes, until this one is told to end.

    Raises:
      TwostepError: no process became ready.
    """
    from prometheus_client import multiprocess

    from serving.server.supervisor import Supervisor

    _log(given.verbose)
    settings = given.settings
    # Not forked: a copy of a process with threads may wait for ever for a lock that one of them held.
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="twostep-serve-") as metrics,
        listening.reserved(settings.host, settings.port) as reserved,
    ):
        port = reserved.getsockname()[1]

        def start(number: int) -> tuple[BaseProcess, Connection]:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(given, number, port, metrics, theirs))
            process.start()
            theirs.close()  # so that it is open in the worker alone, and its end is seen here
            return process, ours

        def ready(version: str) -> None:
            print(f"{_told(version, settings, port)}, {settings.workers} workers", flush=True)

        def ended(process_id: int) -> None:
            multiprocess.mark_process_dead(process_id, metrics)

        Supervisor(start, settings.workers, ended).run(ready)


def _work(given: Given, number: int, port: int, metrics: str, connection: Connection) -> None:
    """Answer as one of several workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which the process that started this one gets too
    channel = Channel(connection)
    os.environ[METRICS_FOLDER] = metrics
    settings = given.settings.of_worker()
    try:
        server = _loaded(given, settings, deletes=number == 0)
    except TwostepError as error:
        channel.failed(str(error), error.exit_code)
        sys.exit(error.exit_code)
    from serving.server import run

    server.tell_others, channel.on_items = channel.items, server.look_at_items
    bound = listening.of_worker(settings.host, port)
    channel.ready(server.current.version)
    run.serve(server, bound)


def _loaded(given: Given, settings: ServerSettings, deletes: bool = True) -> "Server":
    """Return the server with its release, which deletes old answers or not. Raises: TwostepError."""
    import core.tf

    core.tf.without_training()
    _log(given.verbose)
    from pipeline.runners import logs

    with tempfile.TemporaryDirectory() as folder, logs.captured(Path(folder) / "log", given.verbose):
        from serving.server import run
        from serving.server.current import Place

        place = Place(given.location, given.trusted, given.modules)
        return run.loaded(place, given.store, settings, given.experiment, deletes, given.cache)


def _told(version: str, settings: ServerSettings, port: int) -> str:
    return f"release {version} at {listening.url(settings.host, port)}, the API at /docs"


def _log(verbose: bool) -> None:
    """Print the messages of the server to stderr, and with `verbose` those of libraries."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("twostep").setLevel(logging.INFO)
