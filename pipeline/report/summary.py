"""The summary of a run in the terminal: metrics, rules, the release, and the files of the report and lineage."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from core import files, names, node_ids
from core.errors import HeldBackError
from core.printable import as_text, printable
from core.release.store import open_store
from pipeline import report
from pipeline.config import Config, paths
from pipeline.lineage import records, views
from pipeline.report.data_lines import data_lines
from pipeline.report.short import shown_metrics
from pipeline.runners.outcome import Outcome
from pipeline.runners.progress import NodeResult

_REPORTED = {
    node_ids.EVENT_JOINER: "examples",
    node_ids.RETRIEVAL_TRAINER: "model_run",
    node_ids.RANKING_TRAINER: "model_run",
    node_ids.CANDIDATE_INDEX: "candidate_index",
    node_ids.CANDIDATE_GENERATOR: "candidates",
    node_ids.TWO_STEP_EVALUATOR: "evaluation",
    node_ids.DRIFT_DETECTOR: "drift",
}
_TITLES = {"two_step": "two-step"}
_WIDTH = 80  # columns of the terminal
_HEADING = 15  # the maximum width of a line of a heading, in columns of the terminal

_NOT_BLESSED = "the evaluator did not bless the models"


def show(config: Config, config_file: str | Path, results: Sequence[NodeResult], console: Console) -> None:
    """Print the summary of a run and, if it reached the last node, write its report and lineage.

    Raises:
      HeldBackError: a rule held back the release; the message names the rule, the value and the bound.
    """
    nodes = [result.node for result in results]
    outcome = Outcome(paths.metadata_file(config), results)
    if node_ids.TWO_STEP_EVALUATOR in nodes:
        evaluation = _evaluation(outcome)
        console.print(metrics_table(evaluation))
        for line in rule_lines(evaluation):
            _print_line(console, line)
    if node_ids.RELEASE_PUSHER not in nodes:
        _print_line(console, f"stopped     after {nodes[-1]}; no release was made")
        return
    release = outcome.properties(node_ids.RELEASE_PUSHER, "release")
    version = release.get("version")
    if version is not None:
        _print_line(console, f"released    {version}{_note(config, version)}")
        _draw_lineage(config, version)
    facts = _write_report(config, outcome, release, results)
    for line in data_lines(facts):
        _print_line(console, line)
    _print_line(console, f"report      {_shortest(paths.report_file(config))}")
    if version is None:
        raise HeldBackError(f"no release: {release.get('reason', _NOT_BLESSED)}")
    _print_line(console, f"lineage     {_shortest(paths.lineage_file(config))}")
    _print_line(console, f"            (or: twostep lineage {printable(config_file)})")


def facts(config: Config, results: Sequence[NodeResult]) -> dict[str, Any]:
    """Return the result of a run for `twostep run --json`.

    The keys are `metrics`, step → metric → estimate; `rules`, each with `rule`, `passed`, `value` and `bound`;
    `release`, the version that was made; and `reason`, the reason if none was made. A value is empty if the run did
    not reach the node that makes it.
    """
    nodes = [result.node for result in results]
    outcome = Outcome(paths.metadata_file(config), results)
    values: dict[str, Any] = {"metrics": {}, "rules": [], "release": None, "reason": None}
    if node_ids.TWO_STEP_EVALUATOR in nodes:
        evaluation = _evaluation(outcome)
        values["metrics"] = {step: each["models"][each["subject"]] for step, each in evaluation["steps"].items()}
        keys = ("rule", "passed", "value", "bound")
        values["rules"] = [{key: verdict[key] for key in keys} for verdict in evaluation["verdicts"]]
    if node_ids.RELEASE_PUSHER not in nodes:
        values["reason"] = f"the run stopped after {nodes[-1]}"
        return values
    release = outcome.properties(node_ids.RELEASE_PUSHER, "release")
    values["release"] = release.get("version")
    if values["release"] is None:
        values["reason"] = release.get("reason", _NOT_BLESSED)
    return values


def metrics_table(evaluation: dict[str, Any]) -> Table:
    """Return both steps and the baselines as a table of at most 80 columns, best first.

    The columns are two metrics (the first two of the rules, or else NDCG at the smallest k and recall at the largest),
    and the difference in the first metric between both steps together and each other model, with 95% intervals.
    """
    both = evaluation["steps"]["two_step"]
    first, second = shown_metrics(evaluation)
    title = f"{both['queries_with_relevant']:,} test queries over {both['catalogue']:,} items; 95% intervals"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("", _heading(first), _heading(second), "two-step − other"):
        table.add_column(heading, no_wrap=True)
    for model, estimates in sorted(both["models"].items(), key=lambda item: -(item[1][first]["mean"] or 0)):
        difference = both["differences"].get(model, {}).get(first)
        table.add_row(
            as_text(_TITLES.get(model, model)),
            _interval(estimates[first]),
            _figure(estimates[second]["mean"]),
            _interval(difference, sign="+") if difference else "",
            style="bold" if model == both["subject"] else None,
        )
    return table


def rule_lines(evaluation: dict[str, Any]) -> list[str]:
    """Return each rule with its result, value and bound, in lines of at most 80 columns."""
    lines = []
    for verdict in evaluation["verdicts"]:
        figures = _figure(verdict["value"])
        if verdict["bound"] is None and verdict["passed"]:
            figures += ", no value to compare with"
        elif verdict["bound"] is not None:
            figures += f", bound {_figure(verdict['bound'])}"
        text = printable(f"{verdict['rule']}: {figures}")
        mark = "passed      " if verdict["passed"] else "failed      "
        lines += textwrap.wrap(text, _WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark))
    return lines


def _evaluation(outcome: Outcome) -> dict[str, Any]:
    """Return the evaluation of both steps."""
    folder = outcome.folder(node_ids.TWO_STEP_EVALUATOR, "evaluation")
    evaluation: dict[str, Any] = files.read_json(folder / names.EVALUATION_FILE)
    return evaluation


def _print_line(console: Console, line: str) -> None:
    """Print a line without markup or wrapping."""
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def _heading(metric: str) -> str:
    """Return the heading of a metric, with line breaks between words if it is long."""
    name, _, k = metric.partition("@")
    words = name.upper() if name == "ndcg" else name.replace("_", " ").capitalize()
    lines = textwrap.wrap(words, _HEADING, break_long_words=False, break_on_hyphens=False)
    if len(f"{lines[-1]}@{k}") > _HEADING:
        return "\n".join([*lines, f"@{k}"])
    return "\n".join([*lines[:-1], f"{lines[-1]}@{k}"])


def estimate(value: dict[str, Any], form: str, bounds: str) -> str:
    """Format a mean with its interval, `0.1693 [.156, .183]`; a dash if it was not measured."""
    if value["mean"] is None:
        return "—"
    return f"{value['mean']:{form}} [{_short(value['low'], bounds)}, {_short(value['high'], bounds)}]"


def _interval(value: dict[str, Any], sign: str = "") -> str:
    """Format a mean with its interval, in at most 23 characters for values below 100,000."""
    if value["mean"] is None:
        return "—"
    size = max(abs(value[key]) for key in ("mean", "low", "high"))
    digits = 3 if size < 1 else 2 if size < 10 else 1 if size < 1000 else 0
    mean = f"{value['mean']:{sign},.{digits + (size < 10)}f}"
    low, high = (_short(value[key], f"{sign},.{digits}f") for key in ("low", "high"))
    return f"{mean} [{low}, {high}]"


def _figure(value: float | None) -> str:
    """Format a number: integers in full, others with four decimals or, from 10, fewer, None as a dash."""
    if value is None:
        return "—"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{4 if abs(value) < 10 else 1 if abs(value) < 1000 else 0}f}"


def _short(value: float, form: str) -> str:
    """Format a number, without the zero before the decimal point."""
    return f"{value:{form}}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{form}}"


def _shortest(path: Path) -> str:
    """Return a path; a path below the working folder is made relative to it."""
    below = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return printable(below)


def _note(config: Config, version: str) -> str:
    """Return a note that says whether a release is in force and, if not, which one is."""
    current = open_store(paths.releases_folder(config)).current()
    if current == version:
        return "   (in force)"
    return (
        f"   (not in force; the release in force is {current})\n            twostep release rollback CONFIG {version}"
    )


def _write_report(
    config: Config, outcome: Outcome, release: dict[str, Any], results: Sequence[NodeResult]
) -> report.ReportFacts:
    """Write the report and return its content."""
    drawing = paths.lineage_file(config) if "version" in release else None
    tables = {node_ids.example_gen(table): "examples" for table in config.data.tables}
    tables |= {node_ids.statistics_gen(table): "statistics" for table in config.data.tables}
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
    """Write the drawing of the lineage of a release."""
    store = records.open_store(paths.metadata_file(config))
    drawing = views.as_svg(records.trace(store, records.release_artifact(store, version), "back"))
    with files.replacing(paths.lineage_file(config)) as partial:
        partial.write_text(drawing, encoding="utf-8")
