"""`twostep bench`: registered models under published protocols."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from core.errors import TwostepError, UsageError
from core.printable import one_line


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="fit and measure models under published protocols",
        description="Fit and measure registered models under a published protocol, each in a separate process, and "
        "print their metrics beside the published ones.",
    )
    parser.add_argument(
        "protocol", metavar="PROTOCOL", help="the protocol, such as movielens-100k; an unknown name prints all names"
    )
    parser.add_argument("--models", metavar="NAME,…", help="the models; by default those of the protocol")
    parser.add_argument("--params", metavar="JSON", default="{}", help="settings, applied to every model")
    parser.add_argument("--seed", type=int, default=42, help="the random seed (42)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="a JSON file to write the rows to")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Fit and measure the models, and print the table."""
    from core.files import write_json
    from pipeline.bench.protocols import PROTOCOLS

    if arguments.protocol not in PROTOCOLS:
        raise UsageError(f"protocol should be one of {', '.join(PROTOCOLS)}; found {arguments.protocol!r}")
    protocol = PROTOCOLS[arguments.protocol]
    models = _models(arguments, dict(protocol.models))
    rows = []
    for name, params in models.items():
        print(f"{name} …", end=" ", flush=True)
        rows.append(_measure(protocol.name, name, params, arguments.seed, arguments.verbose))
        print(f"{rows[-1]['fit_seconds']} s", flush=True)
    _show(protocol, rows)
    if arguments.output:
        write_json(arguments.output, {"protocol": protocol.name, "rows": rows})
    return 0


def _models(arguments: argparse.Namespace, default: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return model → params of the models to measure. Raises: UsageError for a wrong model, setting or seed."""
    from trainer.retrieval.registry import MODELS

    if not 0 <= arguments.seed < 2**32:
        raise UsageError(f"--seed should be from 0 to {2**32 - 1:,}; found {one_line(arguments.seed)}")
    try:
        common = json.loads(arguments.params)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--params: is not JSON: {error}") from None
    if not isinstance(common, dict):
        raise UsageError("--params: should be a JSON object: setting → value")
    chosen = default if arguments.models is None else {name: {} for name in arguments.models.split(",")}
    models = {name: {**params, **common} for name, params in chosen.items()}
    for name, params in models.items():
        try:
            MODELS.check(name, params)
        except ValueError as error:
            raise UsageError(str(error)) from None
    return models


def _measure(protocol: str, model: str, params: dict[str, Any], seed: int, verbose: bool) -> dict[str, Any]:
    """Measure one model in a new process and return its row. Raises: TwostepError."""
    from core.files import read_json

    with tempfile.TemporaryDirectory() as work:
        output = Path(work) / "row.json"
        command = [
            sys.executable,
            "-m",
            "pipeline.bench.measure",
            protocol,
            model,
            json.dumps(params),
            str(seed),
            str(output),
        ]
        done = subprocess.run(command, stderr=None if verbose else subprocess.PIPE, text=True)
        if done.returncode:
            errors = [line for line in (done.stderr or "").splitlines() if re.match(r"\w*(\.\w+)*Error: ", line)]
            reason = errors[-1] if errors else f"exit code {done.returncode}"
            raise TwostepError(f"{model}: {reason}\nRun again with -v for the log")
        return read_json(output)


_WIDTH = 100  # the width of the printed table in characters, if stdout is not a terminal


def _show(protocol: Any, rows: list[dict[str, Any]]) -> None:
    """Print a table of the measured and the published models, best first."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from pipeline.report.summary import estimate

    table = Table(
        title=f"{protocol.name}: {protocol.description}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for heading in ("", *protocol.metrics, "fit s", "MB"):
        table.add_column(heading, no_wrap=True)
    lines: list[tuple[float, list[str], str | None]] = []
    for row in rows:
        estimates = [row["metrics"][metric] for metric in protocol.metrics]
        shown = [estimate(value, ".4f", ".3f") for value in estimates]
        cells = [row["model"], *shown, f"{row['fit_seconds']:.1f}", f"{row['peak_mb']:,}"]
        lines.append((estimates[0]["mean"], cells, None))
    for model, values in protocol.published.items():
        lines.append((values[0], [f"{model} (publ.)", *(f"{value:.4f}" for value in values)], "dim"))
    for _, cells, style in sorted(lines, key=lambda line: -line[0]):
        table.add_row(*cells, style=style)
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
