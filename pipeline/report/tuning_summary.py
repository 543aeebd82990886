"""The summary of a search: a line per trial, a table of the best trials, and an HTML page of all trials."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core import files
from core.printable import as_text, printable
from pipeline.report import charts
from pipeline.report.document import document
from pipeline.report.markup import el, figure, number, table
from pipeline.runners.progress import Progress
from trainer.tuning.records import LINE, Trial
from trainer.tuning.space import label

_MAX_SHOWN = 5  # the number of best trials that are printed


class TrialLines(Progress):
    """The progress of a search, which prints a line for each finished trial."""

    def update(self, name: str, text: str) -> None:
        """Print the line of a finished trial; show any other report as `Progress` does."""
        if text.startswith(LINE):
            self._print(Text(f"  {printable(text)}"))
        else:
            super().update(name, text)


def show(step: str, trials: Sequence[Trial], configured: dict[str, Any], console: Console) -> None:
    """Print the best trials, and the trial of the configured settings if it is not among the best."""
    ranked = _ranked(trials)
    shown = ranked[:_MAX_SHOWN] + [trial for trial in ranked[_MAX_SHOWN:] if trial.params == configured]
    title = f"{step}: {len(trials)} finished trial{'' if len(trials) == 1 else 's'}, NDCG@10 on eval"
    rows = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("trial", "NDCG@10", *configured, ""):
        rows.add_column(heading, no_wrap=True)
    for trial in shown:
        values = [as_text(_text(trial.params[name])) for name in configured]
        note = "configured" if trial.params == configured else ""
        style = "bold" if trial is ranked[0] else None
        rows.add_row(str(trial.number), f"{trial.score:.4f}", *values, note, style=style)
    console.print(rows)
    gain = _gain(ranked[0], trials, configured)
    console.print(gain, highlight=False, soft_wrap=True, markup=False)


def write_page(path: Path, name: str, step: str, trials: Sequence[Trial], configured: dict[str, Any]) -> None:
    """Write all trials as one HTML page: a chart in the order of the trials, and a table, best first."""
    ranked = _ranked(trials)
    points = [(float(trial.number), trial.score) for trial in trials]
    title = "NDCG@10 on eval by trial"
    description = ", ".join(number(trial.score, 4) for trial in trials)
    table_rows = [
        [
            el("th", str(trial.number), scope="row"),
            el("td", number(trial.score, 4)),
            *(el("td", _text(trial.params[name])) for name in configured),
            el("td", "configured" if trial.params == configured else "", class_="words"),
        ]
        for trial in ranked
    ]
    page = document(
        f"{name}: search for {step}",
        el(
            "header",
            el("h1", f"{name}: search for the settings of {step}"),
            el("p", _gain(ranked[0], trials, configured)),
        ),
        el(
            "main",
            el("section", figure(charts.curve(f"{title}: {description}.", points, float(ranked[0].number)), title)),
            el("section", table(["trial", "NDCG@10", *configured, ""], table_rows, "Trials, best first")),
        ),
    )
    with files.replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials by descending score; of equal scores, the earlier trial comes first."""
    return sorted(trials, key=lambda trial: (-trial.score, trial.number))


def _gain(best: Trial, trials: Sequence[Trial], configured: dict[str, Any]) -> str:
    """Return a sentence on the best trial compared with the configured settings."""
    start = next((trial.score for trial in trials if trial.params == configured), None)
    if start is None:
        return f"best {best.score:.4f}; the trial of the configured settings did not finish"
    if best.params == configured:
        return f"no trial was better on eval than the configured settings, {start:.4f}"
    gain = f" ({best.score / start - 1:+.1%})" if start > 0 else ""
    return f"best {best.score:.4f} on eval, configured {start:.4f}{gain}; `twostep run` measures it on test"


def _text(value: Any) -> str:
    """Format the value of a setting."""
    return f"{value:.4g}" if isinstance(value, float) else label(value)
