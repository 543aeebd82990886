"""`twostep run`: run the pipeline on this machine."""

import argparse
import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import garbage, locks, names, node_ids, progress
from core.errors import TwostepError, UsageError
from core.printable import printable
from pipeline.commands import run_compiled
from pipeline.commands.arguments import add_config
from pipeline.runners import processes

if TYPE_CHECKING:
    from rich.console import Console

    from components.table_example_gen.sources import TableSource
    from pipeline.config import Config
    from pipeline.runners.progress import NodeResult
    from pipeline.sources.tables import Listing

MAX_WORKERS = 64


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `run`."""
    parser = subparsers.add_parser(
        "run",
        help="run the pipeline on this machine",
        description="Run the pipeline on this machine. Nodes whose inputs and settings did not change since an earlier "
        "run are taken from the cache, so a stopped run resumes at the node at which it stopped.",
    )
    add_config(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the nodes, tables and folders without running anything"
    )
    parser.add_argument("--until", metavar="NODE", help="run only this node and the nodes that it depends on")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="run up to N nodes side by side, each in a process of its own; 1 runs one node after the other in one "
        "process. Default: as many as the cores and the free memory allow, at most 3",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object to stdout at the end, and the progress to stderr"
    )
    run_compiled.add_arguments(parser)
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the pipeline and print its progress and summary.

    Raises:
      UsageError: the configuration or its data is wrong, or another run uses the run folder.
      HeldBackError: a rule held back the release.
      TwostepError: a node failed.
    """
    answer: dict[str, Any] = {}
    try:
        with json_answer(answer, arguments.json):
            _checked_run(arguments, answer)
    except KeyboardInterrupt as stop:
        if "run" not in answer:
            raise
        # os._exit, because a normal exit would wait for the worker threads of Beam, which the signal does not stop.
        sys.stdout.flush()
        processes.end_descendants(os.getpid())
        os._exit(_exit_code(stop))
    return 0


def _checked_run(arguments: argparse.Namespace, answer: dict[str, Any]) -> None:
    """Check the configuration, then run the pipeline or print what a run would do."""
    from rich.console import Console

    from pipeline import config
    from pipeline.config import list_lengths, paths
    from pipeline.runners import local, logs

    if arguments.workers is not None and not 1 <= arguments.workers <= MAX_WORKERS:
        raise UsageError(f"--workers should be from 1 to {MAX_WORKERS}; found {arguments.workers}")
    run_compiled.check(arguments)
    loaded = config.load(arguments.config)
    if arguments.dry_run or arguments.compiled is not None:
        listed, sources = paths.table_listings(loaded, arguments.config), {}
        if paths.are_files_here(loaded, arguments.config):
            list_lengths.check_files(loaded, [Path(file) for file in listed[names.ITEMS].files])
    else:
        sources = tables_of_run(loaded, arguments.config)
    if arguments.compiled is None:  # the tasks of a specification check the keys that they get
        paths.check_keys(loaded, arguments.config)
    answer |= {"name": loaded.name, "run_folder": str(paths.run_folder(loaded))}
    if arguments.dry_run:
        _dry_run(loaded, arguments, listed, answer)
        return
    run_id = local.new_run_id()
    log_file = paths.log_folder(loaded) / f"{run_id}.log"
    answer |= {"run": run_id, "log": str(log_file)}
    with (
        exclusive_run_folder(paths.run_folder(loaded)),
        logs.captured(log_file, arguments.verbose, to_error=arguments.json) as terminal,
    ):
        console = Console(file=terminal)
        console.print(printable(f"{loaded.name}: log in {log_file}"), soft_wrap=True, highlight=False, markup=False)
        try:
            with terminable() as raise_if_stopped:
                run_ = functools.partial(_run, sources) if arguments.compiled is None else run_compiled.run
                run_(loaded, arguments, run_id, console, raise_if_stopped, answer)
        except KeyboardInterrupt:
            console.print("stopped; run the same command again to resume")
            raise


def tables_of_run(config: "Config", config_file: Path) -> "dict[str, TableSource]":
    """Return table → its files, after a check; those that are not on this machine are fetched, with progress on stderr.

    Raises:
      UsageError: a table has no file, or a list is longer than the catalogue.
      TwostepError: a table cannot be read.
    """
    from pipeline.config import list_lengths, paths

    with progress.listening(lambda text: print(printable(text), file=sys.stderr, flush=True)):
        sources = paths.table_sources(config, config_file)
    list_lengths.check_files(config, paths.table_files(config, config_file, sources)[names.ITEMS])
    return sources


def _run(
    sources: "dict[str, TableSource]",
    config: "Config",
    arguments: argparse.Namespace,
    run_id: str,
    console: "Console",
    raise_if_stopped: Callable[[], None],
    answer: dict[str, Any],
) -> None:
    """Run the pipeline, print its summary, and add the results to `answer`, the object that `--json` prints."""
    from core.release.store import open_store
    from pipeline.config import list_lengths, paths
    from pipeline.lineage import records, views
    from pipeline.runners import local, retention, workers
    from pipeline.runners.progress import Progress

    paths.check_machine(config)
    beam, database = paths.beam_arguments(config), paths.metadata_database(config)
    database.check()
    releases = open_store(paths.releases_folder(config))
    shown = Progress(console)
    with shown.running("loading TensorFlow and TFX"), garbage.postponed():
        from pipeline.dag import wiring
        from pipeline.report import summary
        from pipeline.runners.outcome import RecordedOutcome

        pipeline = wiring.build(config, arguments.config, sources)

    def check(results: list["NodeResult"]) -> None:
        if results[-1].node == node_ids.EVENT_JOINER:
            outcome = RecordedOutcome(database, results)
            list_lengths.check_joined(config, outcome.folder(node_ids.EVENT_JOINER, "examples"))

    try:
        retention.forget_deleted(database, releases)
        with workers.forked(arguments.workers or workers.number()) as pool:
            local.run(pipeline, shown, run_id, raise_if_stopped, arguments.until, check, pool, beam)
        store = database.open()
        retention.collect(store, paths.pipeline_root(config), config.keep_runs, database.pipeline)
        outcome = RecordedOutcome(database, shown.results)
        answer |= summary.facts(outcome, shown.results)
        in_force = releases.current()

        def drawing(version: str) -> str:
            artifact = records.release_artifact(store, version, database.pipeline)
            return views.as_svg(records.trace(store, artifact, "back"))

        summary.show(config, arguments.config, outcome, shown.results, console, in_force, drawing)
    finally:
        answer["nodes"] = [
            {"node": each.node, "state": each.state, "seconds": round(each.seconds, 3)} for each in shown.results
        ]


def _dry_run(
    config: "Config", arguments: argparse.Namespace, listed: "dict[str, Listing]", answer: dict[str, Any]
) -> None:
    """Print what a run would do. Raises: UsageError if there is no node `--until`."""
    import tempfile

    from core.release.store import open_store
    from pipeline.config import paths
    from pipeline.dag import plan
    from pipeline.runners import logs

    with tempfile.TemporaryDirectory() as folder, logs.captured(Path(folder, "log"), arguments.verbose):
        with garbage.postponed():
            from pipeline.dag import wiring

        upstream = wiring.upstream(config, arguments.config)
    needed = upstream if arguments.until is None else plan.needed_by(arguments.until, upstream)
    nodes = [node for node in upstream if node in needed]
    tables = {
        table: plan.Deliveries(config.data.paths[table], len(found.files), found.spans)
        for table, found in listed.items()
    }
    release = open_store(paths.releases_folder(config)).current()
    answer |= {
        "dry_run": True,
        "nodes": nodes,
        "tables": {table: asdict(each) for table, each in tables.items()},
        "release_in_force": release,
    }
    if not arguments.json:
        print("\n".join(plan.lines(config.name, tables, nodes, paths.run_folder(config), release)))


@contextlib.contextmanager
def json_answer(answer: dict[str, Any], as_json: bool) -> Iterator[None]:
    """Print `answer` as one JSON object after the block, with the exit code and, if the block raised, the error."""
    code, reason = 0, None
    try:
        yield
    except KeyboardInterrupt as stop:
        code, reason = _exit_code(stop), "interrupted"
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


def _exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code after a signal: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + int(stop.args[0] if stop.args else signal.SIGINT)


@contextlib.contextmanager
def exclusive_run_folder(folder: Path) -> Iterator[None]:
    """Lock the run folder for the block, because two runs at once would use each other's unfinished artifacts.

    The operating system releases the lock when the process ends, even if the process is killed.

    Raises:
      UsageError: another run holds the folder.
    """
    import fcntl

    from pipeline.config import paths

    paths.check_run_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another run is using {folder}. Wait for its end, or set another `run_folder`") from None
        with locks.kept_by_this_process(lock.fileno()):
            yield


@contextlib.contextmanager
def terminable() -> Iterator[Callable[[], None]]:
    """Raise a KeyboardInterrupt on SIGTERM as on SIGINT; SIGTERM is sent, for example, when a container is stopped.

    Python may discard an exception that is raised inside a destructor or a library's callback. The signal is therefore
    also recorded, and the yielded function raises the KeyboardInterrupt again if a signal was recorded.
    """
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt(number)

    def raise_if_stopped() -> None:
        if received:
            raise KeyboardInterrupt(received[-1])

    # A shell starts background processes with SIGINT ignored; SIGINT then stays ignored.
    signals = [signal.SIGTERM, *([signal.SIGINT] if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN else [])]
    before = {each: signal.signal(each, stop) for each in signals}
    try:
        yield raise_if_stopped
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
