"""What a search shows: a line a trial, then the best beside what was configured, and a page with all trials."""

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
from pipeline.report.markup import Html, el, figure, number, table
from pipeline.report.style import STYLE
from pipeline.runners.progress import Progress
from trainer.tuning.records import LINE, Trial
from trainer.tuning.space import label

_SHOWN = 5  # trials, the best first


class TrialLines(Progress):
    """The progress of a run, with a line that stays for each trial."""

    def say(self, text: str) -> None:
        """A finished trial is printed; all else passes."""
        if text.startswith(LINE):
            self._print(Text(f"  {printable(text)}"))
        else:
            super().say(text)


def show(step: str, trials: Sequence[Trial], configured: dict[str, Any], console: Console) -> None:
    """Print the best trials, and the configured settings below them where they are none of these."""
    ranked = _ranked(trials)
    shown = ranked[:_SHOWN] + [trial for trial in ranked[_SHOWN:] if trial.params == configured]
    title = f"{step}: {len(trials)} finished trial{'' if len(trials) == 1 else 's'}, NDCG@10 on eval"
    found = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("trial", "NDCG@10", *configured, ""):
        found.add_column(heading, no_wrap=True)
    for trial in shown:
        values = [as_text(_text(trial.params[name])) for name in configured]
        note = "configured" if trial.params == configured else ""
        style = "bold" if trial is ranked[0] else None
        found.add_row(str(trial.number), f"{trial.score:.4f}", *values, note, style=style)
    console.print(found)
    gain = _gain(ranked[0], trials, configured)
    console.print(gain, highlight=False, soft_wrap=True, markup=False)


def write_page(path: Path, name: str, step: str, trials: Sequence[Trial], configured: dict[str, Any]) -> None:
    """Write all trials as one HTML file: drawn in the order they were run, and as a table, the best first."""
    ranked = _ranked(trials)
    points = [(float(trial.number), trial.score) for trial in trials]
    title = "NDCG@10 on eval by trial"
    told = ", ".join(number(trial.score, 4) for trial in trials)
    rows = [
        [
            el("th", str(trial.number), scope="row"),
            el("td", number(trial.score, 4)),
            *(el("td", _text(trial.params[name])) for name in configured),
            el("td", "configured" if trial.params == configured else "", class_="words"),
        ]
        for trial in ranked
    ]
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{name}: search for {step}"),
        el("style", Html(STYLE)),
    )
    body = el(
        "body",
        el(
            "header",
            el("h1", f"{name}: search for the settings of {step}"),
            el("p", _gain(ranked[0], trials, configured)),
        ),
        el(
            "main",
            el("section", figure(charts.curve(f"{title}: {told}.", points, float(ranked[0].number)), title)),
            el("section", table(["trial", "NDCG@10", *configured, ""], rows, "Trials, the best first")),
        ),
    )
    with files.replacing(path) as partial:
        partial.write_text(f"<!doctype html>\n{el('html', head, body, lang='en')}\n", encoding="utf-8")


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    """The best first; of equals the earlier, which are nearer to what was configured."""
    return sorted(trials, key=lambda trial: (-trial.score, trial.number))


def _gain(best: Trial, trials: Sequence[Trial], configured: dict[str, Any]) -> str:
    """One sentence on the best trial against the configured settings."""
    start = next((trial.score for trial in trials if trial.params == configured), None)
    if start is None:
        return f"best {best.score:.4f}; the configured settings have no finished trial to compare with"
    if best.params == configured:
        return f"nothing did better on eval than the configured settings, {start:.4f}"
    gain = f" ({best.score / start - 1:+.1%})" if start > 0 else ""
    return f"best {best.score:.4f} on eval, configured {start:.4f}{gain}; how it does on test, `twostep run` measures"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else label(value)
