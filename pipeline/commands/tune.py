"""`twostep tune`: a search for the settings of a model, judged on eval."""

import argparse
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import collection, names
from core.errors import TwostepError, UsageError
from core.printable import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Config
    from pipeline.dag.tuning import Search

TRIALS, WHILE_THERE_IS_TIME = 20, 10_000
MOST_MINUTES = 100_000


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Register `tune`."""
    parser = subparsers.add_parser(
        "tune",
        help="search for the settings of a model",
        description="Search for the settings of the configured model that do best on eval (test is never read), and "
        "write them into a copy of the configuration. A search that was stopped goes on from its finished trials.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file")
    parser.add_argument("--step", choices=("retrieval", "ranking"), default="retrieval", help="which model")
    parser.add_argument("--trials", type=int, metavar="N", help=f"the most trials; {TRIALS} where no minutes are given")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no trial after trials have taken this long")
    parser.add_argument(
        "--params",
        metavar="JSON",
        default="{}",
        help='what to try of a setting, instead of what is declared: \'{"alpha": {"low": 0.1, "high": 9, "log": true}, '
        '"factors": [32, 64], "iterations": null}\'; null leaves it as it is',
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="the copy; CONFIG.tuned.yaml by default")
    parser.add_argument("--force", action="store_true", help="overwrite the copy")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Search, then write the best and show what was found.

    Raises:
      UsageError: the command or the configuration is wrong, or another run is under way.
      TwostepError: a node failed.
    """
    from rich.console import Console

    from pipeline import config
    from pipeline.commands.run import alone, terminable
    from pipeline.config import list_lengths, paths
    from pipeline.runners import local, logs

    loaded = config.load(arguments.config)
    list_lengths.check_files(loaded, paths.table_files(loaded, arguments.config)[names.ITEMS])
    output = _output(arguments, loaded)
    space = _space(arguments, loaded)
    run_id = local.new_run_id()
    log_file = paths.log_folder(loaded) / f"{run_id}.log"
    with alone(paths.run_folder(loaded)), logs.captured(log_file, arguments.verbose) as terminal:
        console = Console(file=terminal)
        model = getattr(loaded, arguments.step).model
        _say(console, f"{loaded.name}: {arguments.step} model {model}, NDCG@10 on eval; log in {log_file}")
        _say(console, "trying " + ", ".join(f"{name} {each}" for name, each in space.items()))
        try:
            with terminable() as stop_if_asked:
                _search(arguments, loaded, space, output, run_id, console, stop_if_asked)
        except KeyboardInterrupt as stop:
            _say(console, "stopped; the same command goes on from the finished trials")
            # At a usual exit Python would wait for Beam's worker threads, which do not know that they should stop.
            os._exit(128 + (stop.args[0] if stop.args else signal.SIGINT))
    return 0


def _output(arguments: argparse.Namespace, config: "Config") -> Path:
    """Where the copy goes. Raises: UsageError."""
    source = arguments.config
    output = arguments.output or source.with_name(f"{source.stem}.tuned{source.suffix}")
    if output.absolute() == source.absolute():
        raise UsageError(f"{output} is the configuration itself. Give another --output")
    if output.exists() and not arguments.force:
        raise UsageError(f"{output} is there already. Give another --output, or --force to overwrite it")
    relative = [f"data.{key}" for key in ("root", "schema_folder") if getattr(config.data, key) is not None]
    if config.run_folder is not None and not Path(config.run_folder).is_absolute():
        relative.append("run_folder")
    if relative and output.absolute().parent != source.absolute().parent:
        folder = source.absolute().parent
        raise UsageError(f"--output should be in {folder}: {relative[0]} starts from the file's folder")
    return output


def _space(arguments: argparse.Namespace, config: "Config") -> dict[str, Any]:
    """What to try of each setting. Raises: UsageError."""
    from trainer.ranking.registry import MODELS as RANKING
    from trainer.retrieval.registry import MODELS as RETRIEVAL
    from trainer.tuning import space

    for key, most in (("trials", WHILE_THERE_IS_TIME), ("minutes", MOST_MINUTES)):
        value = getattr(arguments, key)
        if value is not None and not 0 < value <= most:
            raise UsageError(f"--{key} should be above 0 and at most {most:,}; found {one_line(value)}")
    try:
        changes = json.loads(arguments.params)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--params: is not JSON: {error}") from None
    if not isinstance(changes, dict):
        raise UsageError("--params: should be a JSON object: setting → what to try of it")
    chosen = getattr(config, arguments.step)
    settings = {"retrieval": RETRIEVAL, "ranking": RANKING}[arguments.step].check(chosen.model, chosen.params)
    try:
        return space.resolve(settings, changes)
    except ValueError as error:
        raise UsageError(f"--params of {chosen.model}: {error}") from None


def _search(
    arguments: argparse.Namespace,
    config: "Config",
    space: dict[str, Any],
    output: Path,
    run_id: str,
    console: "Console",
    stop_if_asked: Callable[[], None],
) -> None:
    from pipeline.config import paths
    from pipeline.report import tuning_summary
    from pipeline.runners import local

    progress = tuning_summary.TrialLines(console)
    with progress.running("loading TensorFlow and TFX"), collection.postponed():
        from pipeline.dag import tuning
        from pipeline.runners.outcome import Outcome

        trials = arguments.trials or (TRIALS if arguments.minutes is None else WHILE_THERE_IS_TIME)
        search = tuning.search_for(config, arguments.step, space, trials, arguments.minutes)
        pipeline = tuning.build(config, arguments.config, search)
    try:
        local.run(pipeline, progress, run_id, stop_if_asked)
        found = tuning.finished(Outcome(paths.metadata_file(config), progress.results), search)
    except (KeyboardInterrupt, TwostepError):
        found = tuning.kept(config, Outcome(paths.metadata_file(config), progress.results), search)
        if found:
            _write(config, arguments.config, search, found, output, console)
        raise
    _write(config, arguments.config, search, found, output, console)


def _write(
    config: "Config", config_file: Path, search: "Search", found: list[Any], output: Path, console: "Console"
) -> None:
    """The copy of the configuration with the best settings, and the summary."""
    from core.files import replacing
    from pipeline.config import paths
    from pipeline.config.tuned_file import with_params
    from pipeline.report import tuning_summary

    best = max(found, key=lambda trial: (trial.score, -trial.number))
    with replacing(output) as partial:
        text = with_params(config_file.read_text(encoding="utf-8"), search.step, best.params)
        partial.write_text(text, encoding="utf-8")
    report = paths.tuning_report_file(config, search.step)
    tuning_summary.show(search.step, found, search.configured, console)
    tuning_summary.write_page(report, config.name, search.step, found, search.configured)
    _say(console, f"written     {output}")
    _say(console, f"report      {report}")


def _say(console: "Console", line: str) -> None:
    console.print(printable(line), highlight=False, soft_wrap=True, markup=False)
