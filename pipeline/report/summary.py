"""The end of a run: both steps beside the baselines, what was released, and where to look further."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from core import files, names
from core.errors import HeldBackError
from core.printable import as_text, printable
from core.release import reader
from pipeline import report
from pipeline.config import Config, paths
from pipeline.lineage import records, views
from pipeline.report.data_lines import data_lines
from pipeline.report.short import shown_metrics
from pipeline.runners.outcome import Outcome
from pipeline.runners.progress import NodeResult

_REPORTED = {
    "EventJoiner": "examples",
    "RetrievalTrainer": "model_run",
    "RankingTrainer": "model_run",
    "CandidateIndex": "candidate_index",
    "CandidateGenerator": "candidates",
    "TwoStepEvaluator": "evaluation",
    "DriftDetector": "drift",
}
_TITLES = {"two_step": "two-step"}
_WIDTH = 80  # columns of the summary
_HEADING = 15  # columns of a line of a heading


def show(config: Config, config_file: str | Path, results: Sequence[NodeResult], console: Console) -> None:
    """Print the summary of a run, and write the report and the lineage of one that came as far as a release.

    Raises:
      HeldBackError: a rule held back the release; the message names it, the value and the bound.
    """
    nodes = [result.node for result in results]
    outcome = Outcome(paths.metadata_file(config), results)
    if "TwoStepEvaluator" in nodes:
        evaluation = _evaluation(outcome)
        console.print(metrics_table(evaluation))
        for line in rule_lines(evaluation):
            _say(console, line)
    if "ReleasePusher" not in nodes:
        _say(console, f"stopped     after {nodes[-1]}; no release was made")
        return
    release = outcome.properties("ReleasePusher", "release")
    version = release.get("version")
    if version is not None:
        _say(console, f"released    {version}{_note(config, version)}")
        _draw_lineage(config, version)
    facts = _write_report(config, outcome, release, results)
    for line in data_lines(facts):
        _say(console, line)
    _say(console, f"report      {_shortest(paths.report_file(config))}")
    if version is None:
        raise HeldBackError(f"no release: {release.get('reason', 'the evaluation did not bless it')}")
    _say(console, f"lineage     {_shortest(paths.lineage_file(config))}")
    _say(console, f"            (or: twostep lineage {printable(config_file)})")


def facts(config: Config, results: Sequence[NodeResult]) -> dict[str, Any]:
    """Return what `twostep run --json` says of a run that has ended, beside its nodes.

    The keys: `metrics`, step -> metric -> estimate; `rules`, each with `rule`, `passed`, `value` and `bound`;
    `release`, the version that was made, and `reason`, why none was. Without the nodes that make them they are empty.
    """
    nodes = [result.node for result in results]
    outcome = Outcome(paths.metadata_file(config), results)
    values: dict[str, Any] = {"metrics": {}, "rules": [], "release": None, "reason": None}
    if "TwoStepEvaluator" in nodes:
        evaluation = _evaluation(outcome)
        values["metrics"] = {step: each["models"][each["subject"]] for step, each in evaluation["steps"].items()}
        keys = ("rule", "passed", "value", "bound")
        values["rules"] = [{key: verdict[key] for key in keys} for verdict in evaluation["verdicts"]]
    if "ReleasePusher" not in nodes:
        values["reason"] = f"the run ended with {nodes[-1]}"
        return values
    release = outcome.properties("ReleasePusher", "release")
    values["release"] = release.get("version")
    if values["release"] is None:
        values["reason"] = release.get("reason", "the evaluation did not bless it")
    return values


def metrics_table(evaluation: dict[str, Any]) -> Table:
    """Return both steps and the baselines as a table of at most 80 columns, best first.

    Its metrics are the first two that the rules judge, the first with its 95% interval and its difference from the
    two steps; where the rules judge fewer, NDCG at the shortest list and recall at the longest.
    """
    both = evaluation["steps"]["two_step"]
    first, second = shown_metrics(evaluation)
    title = f"{both['queries_with_relevant']:,} test queries over {both['catalogue']:,} items; 95% intervals"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("", _heading(first), _heading(second), "two-step − other"):
        table.add_column(heading, no_wrap=True)
    for model, measured in sorted(both["models"].items(), key=lambda item: -(item[1][first]["mean"] or 0)):
        difference = both["differences"].get(model, {}).get(first)
        table.add_row(
            as_text(_TITLES.get(model, model)),
            _interval(measured[first]),
            _figure(measured[second]["mean"]),
            _interval(difference, sign="+") if difference else "",
            style="bold" if model == both["subject"] else None,
        )
    return table


def rule_lines(evaluation: dict[str, Any]) -> list[str]:
    """Return each rule with its outcome and figures, in lines of at most 80 columns."""
    lines = []
    for verdict in evaluation["verdicts"]:
        figures = _figure(verdict["value"])
        if verdict["bound"] is None and verdict["passed"]:
            figures += ", nothing to compare with"
        elif verdict["bound"] is not None:
            figures += f" against {_figure(verdict['bound'])}"
        words = printable(f"{verdict['rule']}: {figures}")
        mark = "passed      " if verdict["passed"] else "failed      "
        lines += textwrap.wrap(words, _WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark))
    return lines


def _evaluation(outcome: Outcome) -> dict[str, Any]:
    folder = outcome.folder("TwoStepEvaluator", "evaluation")
    evaluation: dict[str, Any] = files.read_json(folder / names.EVALUATION_FILE)
    return evaluation


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def _heading(metric: str) -> str:
    """Return a metric as the heading of a column, its words below each other."""
    name, _, k = metric.partition("@")
    words = name.upper() if name == "ndcg" else name.replace("_", " ").capitalize()
    lines = textwrap.wrap(words, _HEADING, break_long_words=False, break_on_hyphens=False)
    if len(f"{lines[-1]}@{k}") > _HEADING:
        return "\n".join([*lines, f"@{k}"])
    return "\n".join([*lines[:-1], f"{lines[-1]}@{k}"])


def estimate(value: dict[str, Any], form: str, bounds: str) -> str:
    """A mean with its interval, `0.1693 [.156, .183]`; a dash where nothing could be measured."""
    if value["mean"] is None:
        return "—"
    return f"{value['mean']:{form}} [{_short(value['low'], bounds)}, {_short(value['high'], bounds)}]"


def _interval(value: dict[str, Any], sign: str = "") -> str:
    """Return a mean with its interval, in at most 23 columns below 100,000."""
    if value["mean"] is None:
        return "—"
    size = max(abs(value[key]) for key in ("mean", "low", "high"))
    digits = 3 if size < 1 else 2 if size < 10 else 1 if size < 1000 else 0
    mean = f"{value['mean']:{sign},.{digits + (size < 10)}f}"
    low, high = (_short(value[key], f"{sign},.{digits}f") for key in ("low", "high"))
    return f"{mean} [{low}, {high}]"


def _figure(value: float | None) -> str:
    """Return a count as it is, another number in four digits or so; a dash where nothing could be measured."""
    if value is None:
        return "—"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{4 if abs(value) < 10 else 1 if abs(value) < 1000 else 0}f}"


def _short(value: float, form: str) -> str:
    return f"{value:{form}}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{form}}"


def _shortest(path: Path) -> str:
    """Return a path from the working folder where it lies below it."""
    below = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return printable(below)


def _note(config: Config, version: str) -> str:
    current = reader.current(paths.releases_folder(config))
    if current == version:
        return "   (current)"
    return f"   (not current: that is {current})\n            twostep release rollback CONFIG {version}"


def _write_report(
    config: Config, outcome: Outcome, release: dict[str, Any], results: Sequence[NodeResult]
) -> report.ReportFacts:
    drawing = paths.lineage_file(config) if "version" in release else None
    tables = {f"{names.NODE_NAMES[table]}Gen": "examples" for table in config.data.tables}
    tables |= {f"{names.NODE_NAMES[table]}StatisticsGen": "statistics" for table in config.data.tables}
    facts = report.facts_of_run(
        {node: outcome.folder(node, output) for node, output in (tables | _REPORTED).items()},
        name=config.name,
        run_time=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        seed=config.seed,
        candidates=config.retrieval.candidates,
        release=release.get("version"),
        held_back=release.get("reason"),
        nodes=[(result.node, result.state, result.seconds) for result in results],
        lineage_svg=drawing.read_text(encoding="utf-8") if drawing else None,
    )
    report.write(paths.report_file(config), facts)
    return facts


def _draw_lineage(config: Config, version: str) -> None:
    store = records.open_store(paths.metadata_file(config))
    drawing = views.as_svg(records.trace(store, records.release_artifact(store, version), "back"))
    with files.replacing(paths.lineage_file(config)) as partial:
        partial.write_text(drawing, encoding="utf-8")
