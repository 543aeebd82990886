"""`twostep run`: the whole pipeline on this machine."""

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import collection, names
from core.errors import TwostepError, UsageError
from core.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Config
    from pipeline.runners.progress import NodeResult


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Register `run`."""
    parser = subparsers.add_parser(
        "run",
        help="run the pipeline on this machine",
        description="Run the pipeline on this machine. What did not change since an earlier run is taken from its "
        "cache; a run that was stopped goes on where it was.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file")
    parser.add_argument("--dry-run", action="store_true", help="show the nodes, tables and folders, and run nothing")
    parser.add_argument("--until", metavar="NODE", help="run this node and those that it needs, and stop")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout at the end, and the progress on stderr"
    )
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the pipeline, show its progress, then its summary.

    Raises:
      UsageError: the configuration or its data is wrong, or another run of it is under way.
      HeldBackError: a gate held back the release.
      TwostepError: a node failed.
    """
    answer: dict[str, Any] = {}
    try:
        with answering(answer, arguments.json):
            _checked_run(arguments, answer)
    except KeyboardInterrupt as stop:
        if "run" not in answer:
            raise
        # At a usual exit Python would wait for Beam's worker threads, which do not know that they should stop.
        sys.stdout.flush()
        os._exit(_code_of(stop))
    return 0


def _checked_run(arguments: argparse.Namespace, answer: dict[str, Any]) -> None:
    from rich.console import Console

    from pipeline import config
    from pipeline.config import list_lengths, paths
    from pipeline.runners import local, logs

    loaded = config.load(arguments.config)
    files = paths.table_files(loaded, arguments.config)
    list_lengths.check_files(loaded, files[names.ITEMS])
    paths.check_keys(loaded, arguments.config)
    answer |= {"name": loaded.name, "run_folder": str(paths.run_folder(loaded))}
    if arguments.dry_run:
        _dry_run(loaded, arguments, files, answer)
        return
    run_id = local.new_run_id()
    log_file = paths.log_folder(loaded) / f"{run_id}.log"
    answer |= {"run": run_id, "log": str(log_file)}
    with (
        alone(paths.run_folder(loaded)),
        logs.captured(log_file, arguments.verbose, to_error=arguments.json) as terminal,
    ):
        console = Console(file=terminal)
        console.print(printable(f"{loaded.name}: log in {log_file}"), soft_wrap=True, highlight=False, markup=False)
        try:
            with terminable() as stop_if_asked:
                _run(loaded, arguments, run_id, console, stop_if_asked, answer)
        except KeyboardInterrupt:
            console.print("stopped; the same command goes on from here")
            raise


def _run(
    config: "Config",
    arguments: argparse.Namespace,
    run_id: str,
    console: "Console",
    stop_if_asked: Callable[[], None],
    answer: dict[str, Any],
) -> None:
    from pipeline.config import list_lengths, paths
    from pipeline.lineage import records
    from pipeline.runners import local, retention
    from pipeline.runners.progress import Progress

    progress = Progress(console)
    with progress.running("loading TensorFlow and TFX"), collection.postponed():
        from pipeline.dag import wiring
        from pipeline.report import summary
        from pipeline.runners.outcome import Outcome

        pipeline = wiring.build(config, arguments.config)

    def check(results: list["NodeResult"]) -> None:
        if results[-1].node == "EventJoiner":
            outcome = Outcome(paths.metadata_file(config), results)
            list_lengths.check_joined(config, outcome.folder("EventJoiner", "examples"))

    try:
        local.run(pipeline, progress, run_id, stop_if_asked, arguments.until, check)
        store = records.open_store(paths.metadata_file(config))
        retention.collect(store, paths.pipeline_root(config), config.keep_runs)
        answer |= summary.facts(config, progress.results)
        summary.show(config, arguments.config, progress.results, console)
    finally:
        answer["nodes"] = [
            {"node": each.node, "state": each.state, "seconds": round(each.seconds, 3)} for each in progress.results
        ]


def _dry_run(
    config: "Config", arguments: argparse.Namespace, files: dict[str, list[Path]], answer: dict[str, Any]
) -> None:
    """Print what a run would do. Raises: UsageError, when there is no node `--until`."""
    import tempfile

    from core.release import reader
    from pipeline.config import paths
    from pipeline.dag import plan
    from pipeline.runners import logs

    with tempfile.TemporaryDirectory() as folder, logs.captured(Path(folder, "log"), arguments.verbose):
        with collection.postponed():
            from pipeline.dag import wiring

        upstream = wiring.upstream(config, arguments.config)
    needed = upstream if arguments.until is None else plan.needed_by(arguments.until, upstream)
    nodes = [node for node in upstream if node in needed]
    sources = paths.table_sources(config, arguments.config)
    tables = {
        table: plan.Deliveries(config.data.paths[table], len(matched), sources[table].spans)
        for table, matched in files.items()
    }
    release = reader.current(paths.releases_folder(config))
    answer |= {
        "dry_run": True,
        "nodes": nodes,
        "tables": {table: asdict(each) for table, each in tables.items()},
        "release_in_force": release,
    }
    if not arguments.json:
        print("\n".join(plan.lines(config.name, tables, nodes, paths.run_folder(config), release)))


@contextlib.contextmanager
def answering(answer: dict[str, Any], as_json: bool) -> Iterator[None]:
    """Print `answer` as one JSON object when the block ends, however it ends, with its exit code and the error."""
    code, reason = 0, None
    try:
        yield
    except KeyboardInterrupt as stop:
        code, reason = _code_of(stop), "interrupted"
        raise
    except TwostepError as error:
        code, reason = error.exit_code, str(error)
        raise
    except Exception as error:
        code, reason = 1, f"unexpected {type(error).__name__}: {error}"
        raise
    finally:
        if as_json:
            print(json.dumps({**answer, "exit_code": code, "error": reason}, indent=2))


def _code_of(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a process that a signal ended: 130 after Ctrl-C, 143 after a request to terminate."""
    return 128 + int(stop.args[0] if stop.args else signal.SIGINT)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second run out of the folder: two would take each other's half-made artifacts for the latest.

    The lock is the system's, so it goes with its process however that ends.
    """
    import fcntl

    from pipeline.config import paths

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
