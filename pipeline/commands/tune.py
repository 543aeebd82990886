"""`twostep tune`: search for the settings of a model on eval."""

import argparse
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import garbage
from core.errors import TwostepError, UsageError
from core.printable import one_line, printable
from core.storage import uris
from pipeline.commands.arguments import add_config
from pipeline.runners import processes

if TYPE_CHECKING:
    from rich.console import Console

    from components.table_example_gen.sources import TableSource
    from pipeline.config import Config
    from pipeline.dag.tuning import Search

DEFAULT_TRIALS, MAX_TRIALS = 20, 10_000
MAX_MINUTES = 100_000


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `tune`."""
    parser = subparsers.add_parser(
        "tune",
        help="search for the settings of a model",
        description="Search for the settings with which the configured model has the best NDCG@10 on eval (test is not "
        "read), and write them into a copy of the configuration. A stopped search resumes after its finished trials.",
    )
    add_config(parser)
    parser.add_argument(
        "--step", choices=("retrieval", "ranking"), default="retrieval", help="the step whose model is tuned"
    )
    parser.add_argument(
        "--trials", type=int, metavar="N", help=f"the maximum number of trials; {DEFAULT_TRIALS} without --minutes"
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="the time in minutes after which no trial starts")
    parser.add_argument(
        "--params",
        metavar="JSON",
        default="{}",
        help='search spaces of settings in place of the defaults: \'{"alpha": {"low": 0.1, "high": 9, "log": true}, '
        '"factors": [32, 64], "iterations": null}\'; null keeps the configured value',
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="the file of the copy; by default CONFIG.tuned.yaml"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing copy")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Search for settings, write the best and print a summary.

    Raises:
      UsageError: the command or the configuration is wrong, or another run uses the run folder.
      TwostepError: a node failed.
    """
    from rich.console import Console

    from pipeline import config
    from pipeline.commands.run import exclusive_run_folder, tables_of_run, terminable
    from pipeline.config import paths
    from pipeline.runners import local, logs

    loaded = config.load(arguments.config)
    sources = tables_of_run(loaded, arguments.config)
    output = _output(arguments, loaded)
    space = _space(arguments, loaded)
    run_id = local.new_run_id()
    log_file = paths.log_folder(loaded) / f"{run_id}.log"
    with (
        exclusive_run_folder(paths.run_folder(loaded)),
        logs.captured(log_file, arguments.verbose) as terminal,
    ):
        console = Console(file=terminal)
        model = getattr(loaded, arguments.step).model
        _print_line(console, f"{loaded.name}: {arguments.step} model {model}, NDCG@10 on eval; log in {log_file}")
        _print_line(console, "search space: " + ", ".join(f"{name} {each}" for name, each in space.items()))
        try:
            with terminable() as raise_if_stopped:
                _search(arguments, loaded, sources, space, output, run_id, console, raise_if_stopped)
        except KeyboardInterrupt as stop:
            _print_line(console, "stopped; run the same command again to resume after the finished trials")
            # os._exit, because a normal exit would wait for the worker threads of Beam, which the signal does not stop.
            processes.end_descendants(os.getpid())
            os._exit(128 + (stop.args[0] if stop.args else signal.SIGINT))
    return 0


def _output(arguments: argparse.Namespace, config: "Config") -> Path:
    """Return the file to write the tuned configuration to. Raises: UsageError if it may not be written."""
    source = arguments.config
    output = arguments.output or source.with_name(f"{source.stem}.tuned{source.suffix}")
    if output.absolute() == source.absolute():
        raise UsageError(f"{output} is the configuration itself. Give another --output")
    if output.exists() and not arguments.force:
        raise UsageError(f"{output} exists already. Give another --output, or --force to overwrite it")
    places = {key: getattr(config.data, key) for key in ("root", "schema_folder")}
    relative = [f"data.{key}" for key, place in places.items() if place is not None and not uris.is_uri(place)]
    if config.run_folder is not None and not Path(config.run_folder).is_absolute():
        relative.append("run_folder")
    if relative and output.absolute().parent != source.absolute().parent:
        folder = source.absolute().parent
        raise UsageError(
            f"--output should be in {folder}, since {relative[0]} is relative to the folder of the configuration"
        )
    return output


def _space(arguments: argparse.Namespace, config: "Config") -> dict[str, Any]:
    """Return setting → its search space. Raises: UsageError for an option that is wrong."""
    from trainer.steps import REGISTRIES
    from trainer.tuning import space

    for key, largest in (("trials", MAX_TRIALS), ("minutes", MAX_MINUTES)):
        value = getattr(arguments, key)
        if value is not None and not 0 < value <= largest:
            raise UsageError(f"--{key} should be above 0 and at most {largest:,}; found {one_line(value)}")
    try:
        changes = json.loads(arguments.params)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--params: is not JSON: {error}") from None
    if not isinstance(changes, dict):
        raise UsageError("--params: should be a JSON object: setting → its search space")
    chosen = getattr(config, arguments.step)
    settings = REGISTRIES[arguments.step].check(chosen.model, chosen.params)
    try:
        return space.resolve(settings, changes)
    except ValueError as error:
        raise UsageError(f"--params of {chosen.model}: {error}") from None


def _search(
    arguments: argparse.Namespace,
    config: "Config",
    sources: "dict[str, TableSource]",
    space: dict[str, Any],
    output: Path,
    run_id: str,
    console: "Console",
    raise_if_stopped: Callable[[], None],
) -> None:
    """Run the trials and write the best settings; after a stop or failure, the best of the finished trials."""
    from pipeline.config import paths
    from pipeline.report import tuning_summary
    from pipeline.runners import local

    paths.check_machine(config)
    beam, database = paths.beam_arguments(config), paths.metadata_database(config)
    database.check()
    progress = tuning_summary.TrialLines(console)
    with progress.running("loading TensorFlow and TFX"), garbage.postponed():
        from pipeline.dag import tuning
        from pipeline.runners.outcome import RecordedOutcome

        trials = arguments.trials or (DEFAULT_TRIALS if arguments.minutes is None else MAX_TRIALS)
        search = tuning.search_for(config, arguments.step, space, trials, arguments.minutes)
        pipeline = tuning.build(config, arguments.config, search, sources)
    try:
        local.run(pipeline, progress, run_id, raise_if_stopped, beam=beam)
        finished = tuning.finished(RecordedOutcome(database, progress.results), search)
    except (KeyboardInterrupt, TwostepError):
        finished = tuning.kept(config, RecordedOutcome(database, progress.results), search)
        if finished:
            _write(config, arguments.config, search, finished, output, console)
        raise
    _write(config, arguments.config, search, finished, output, console)


def _write(
    config: "Config", config_file: Path, search: "Search", trials: list[Any], output: Path, console: "Console"
) -> None:
    """Write a copy of the configuration with the best settings, and print and write the summary."""
    from core.files import replacing
    from pipeline.config import paths
    from pipeline.config.tuned_file import with_params
    from pipeline.report import tuning_summary

    best = max(trials, key=lambda trial: (trial.score, -trial.number))
    with replacing(output) as partial:
        text = with_params(config_file.read_text(encoding="utf-8"), search.step, best.params)
        partial.write_text(text, encoding="utf-8")
    report = paths.tuning_report_file(config, search.step)
    tuning_summary.show(search.step, trials, search.configured, console)
    tuning_summary.write_page(report, config.name, search.step, trials, search.configured)
    _print_line(console, f"written     {output}")
    _print_line(console, f"report      {report}")


def _print_line(console: "Console", line: str) -> None:
    """Print a line without markup or wrapping."""
    console.print(printable(line), highlight=False, soft_wrap=True, markup=False)
