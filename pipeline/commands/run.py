"""`twostep run`: the whole pipeline on this machine."""

import argparse
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Config


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Register `run`."""
    parser = subparsers.add_parser(
        "run",
        help="run the pipeline on this machine",
        description="Run the pipeline on this machine. What did not change since an earlier run is taken from its "
        "cache; a run that was stopped goes on where it was.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the pipeline, show its progress, then its summary.

    Raises:
      UsageError: the configuration or its data is wrong, or another run of it is under way.
      HeldBackError: a gate held back the release.
      TwostepError: a node failed.
    """
    from rich.console import Console

    from pipeline import config, logs, paths, runner

    loaded = config.load(arguments.config)
    paths.table_files(loaded, arguments.config)
    run_id = runner.new_run_id()
    log_file = paths.log_folder(loaded) / f"{run_id}.log"
    with alone(paths.run_folder(loaded)), logs.captured(log_file, arguments.verbose) as terminal:
        console = Console(file=terminal)
        console.print(f"{loaded.name}: log in {log_file}", soft_wrap=True, highlight=False)
        try:
            with terminable() as stop_if_asked:
                _run(loaded, arguments.config, run_id, console, stop_if_asked)
        except KeyboardInterrupt as stop:
            console.print("stopped; the same command goes on from here")
            # At a usual exit Python would wait for Beam's worker threads, which do not know that they should stop.
            os._exit(128 + (stop.args[0] if stop.args else signal.SIGINT))
    return 0


def _run(
    config: "Config", config_file: Path, run_id: str, console: "Console", stop_if_asked: Callable[[], None]
) -> None:
    from pipeline import runner
    from pipeline.progress import Progress

    progress = Progress(console)
    with progress.running("loading TensorFlow and TFX"):
        from pipeline import dag, summary

        pipeline = dag.build(config, config_file)
    results = runner.run(pipeline, progress, run_id, stop_if_asked)
    summary.show(config, config_file, results, console)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second run out of the folder: two would take each other's half-made artifacts for the latest.

    The lock is the system's, so it goes with its process however that ends.
    """
    import fcntl

    from pipeline import paths

    paths.check_run_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another run is under way in {folder}. Wait for it, or set another `run_folder`"
            ) from None
        yield


@contextlib.contextmanager
def terminable() -> Iterator[Callable[[], None]]:
    """Let a request to terminate (a container that is stopped) end the run as Ctrl-C does.

    What Python raises within a destructor or some callbacks of libraries is lost. So the request is kept as well: the
    function that the block is given raises it again.
    """
    heard: list[int] = []

    def stop(number: int, frame: Any) -> None:
        heard.append(number)
        raise KeyboardInterrupt(number)

    def stop_if_asked() -> None:
        if heard:
            raise KeyboardInterrupt(heard[-1])

    # Where Ctrl-C is ignored, as in a shell's background, it stays so.
    asked = [signal.SIGTERM, *([signal.SIGINT] if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN else [])]
    before = {each: signal.signal(each, stop) for each in asked}
    try:
        yield stop_if_asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
