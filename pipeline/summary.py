"""The end of a run: both steps beside the baselines, what was released, and where to look further."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from core import files, names, releases
from core.errors import HeldBackError
from pipeline import lineage, lineage_views, paths, report
from pipeline.config import Config
from pipeline.outcome import Outcome
from pipeline.progress import NodeResult
from pipeline.report.data_lines import data_lines

_REPORTED = {
    "EventJoiner": "examples",
    "RetrievalTrainer": "model_run",
    "RankingTrainer": "model_run",
    "CandidateIndex": "candidate_index",
    "CandidateGenerator": "candidates",
    "TwoStepEvaluator": "evaluation",
}
_TITLES = {"two_step": "two-step"}


def show(config: Config, config_file: str | Path, results: Sequence[NodeResult], console: Console) -> None:
    """Print the summary, and write the report and the lineage.

    Raises:
      HeldBackError: a rule held back the release; the message names it, the value and the bound.
    """
    outcome = Outcome(paths.metadata_file(config), results)
    evaluation = files.read_json(outcome.folder("TwoStepEvaluator", "evaluation") / names.EVALUATION_FILE)
    console.print(metrics_table(evaluation))
    release = outcome.properties("ReleasePusher", "release")
    version = release.get("version")
    if version is not None:
        _say(console, f"released    {version}{_note(config, version)}")
        _draw_lineage(config, version)
    facts = _write_report(config, outcome, release, results)
    for line in data_lines(facts):
        _say(console, line)
    _say(console, f"report      {paths.report_file(config)}")
    if version is None:
        raise HeldBackError(f"no release: {release.get('reason', 'the evaluation did not bless it')}")
    console.print(
        f"lineage     {paths.lineage_file(config)}   (or: twostep lineage {config_file})",
        highlight=False,
        soft_wrap=True,
    )


def metrics_table(evaluation: dict[str, Any]) -> Table:
    """Both steps and the baselines, best first: NDCG at the shortest k, recall at the longest, with 95% intervals."""
    both = evaluation["steps"]["two_step"]
    keys = (f"ndcg@{min(both['ks'])}", f"recall@{max(both['ks'])}")
    queries, items = both["queries_with_relevant"], both["catalogue"]
    title = f"{queries:,} test queries over {items:,} items; 95% intervals; difference in {_heading(keys[0])}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", _heading(keys[0]), _heading(keys[1]), "two-step less it"):
        table.add_column(heading, no_wrap=True)
    for model, measured in sorted(both["models"].items(), key=lambda item: -(item[1][keys[0]]["mean"] or 0)):
        difference = both["differences"].get(model)
        shown = [estimate(measured[key], ".4f", ".3f") for key in keys]
        last = estimate(difference[keys[0]], "+.4f", ".3f") if difference else ""
        table.add_row(_TITLES.get(model, model), *shown, last, style="bold" if model == both["subject"] else None)
    return table


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)


def _heading(metric: str) -> str:
    name, _, k = metric.partition("@")
    return f"{name.upper() if name == 'ndcg' else name.title()}@{k}"


def estimate(value: dict[str, Any], form: str, bounds: str) -> str:
    """A mean with its interval, `0.1693 [.156, .183]`; a dash where nothing could be measured."""
    if value["mean"] is None:
        return "—"
    return f"{value['mean']:{form}} [{_short(value['low'], bounds)}, {_short(value['high'], bounds)}]"


def _short(value: float, form: str) -> str:
    return f"{value:{form}}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{form}}"


def _note(config: Config, version: str) -> str:
    current = releases.current(paths.releases_folder(config))
    if current == version:
        return "   (current)"
    return f"   (not current: that is {current}; `twostep release rollback CONFIG {version}` makes this one current)"


def _write_report(
    config: Config, outcome: Outcome, release: dict[str, Any], results: Sequence[NodeResult]
) -> report.ReportFacts:
    drawing = paths.lineage_file(config) if "version" in release else None
    tables = {f"{names.NODE_NAMES[table]}Gen": "examples" for table in config.data.tables}
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
    store = lineage.open_store(paths.metadata_file(config))
    drawing = lineage_views.as_svg(lineage.trace(store, lineage.release_artifact(store, version), "back"))
    with files.replacing(paths.lineage_file(config)) as partial:
        partial.write_text(drawing, encoding="utf-8")
