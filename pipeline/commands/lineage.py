"""`twostep lineage`: from a release back to the source files, or from a file forward."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError
from core.printable import one_line

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.lineage.records import Lineage


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Register `lineage`."""
    parser = subparsers.add_parser(
        "lineage",
        help="from a release back to the source files, or from a file forward",
        description="Show what a release or another artifact was made from, back to the source files, or what was "
        "made from it.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file")
    parser.add_argument(
        "ref",
        metavar="REF",
        nargs="?",
        help="a release's version, `artifact:ID`, or a source file, which is followed forward; "
        "by default the current release",
    )
    parser.add_argument(
        "--forward", action="store_true", help="what was made from it, instead of what it was made from"
    )
    parser.add_argument("--format", choices=("text", "json", "svg"), default="text")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write to this file")
    parser.set_defaults(func=show)


def show(arguments: argparse.Namespace) -> int:
    """Trace and print."""
    from core.files import replacing
    from pipeline import config
    from pipeline.lineage import views

    found = _trace(config.load(arguments.config), arguments.ref, arguments.forward)
    text = getattr(views, f"as_{arguments.format}")(found)
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    with replacing(arguments.output) as partial:
        partial.write_text(text, encoding="utf-8")
    return 0


def _trace(config: "Config", ref: str | None, forward: bool) -> "Lineage":
    from core.release import reader
    from pipeline.config import paths
    from pipeline.lineage import records

    store = records.open_store(paths.metadata_file(config))
    if ref is not None and ref.startswith("artifact:"):
        number = ref.removeprefix("artifact:")
        if not re.fullmatch("[0-9]{1,18}", number):
            raise UsageError(f"{one_line(ref)}: should be `artifact:` and a number, such as artifact:12")
        return records.trace(store, int(number), "forward" if forward else "back")
    if ref is not None and (Path(ref).suffix or "/" in ref or Path(ref).is_file()):
        return records.trace(store, records.artifacts_of_file(store, ref), "forward")
    version = ref if ref is not None else reader.current(paths.releases_folder(config))
    if version is None:
        raise UsageError(f"{paths.releases_folder(config)}: no release yet. Run the pipeline, or name an artifact:ID")
    return records.trace(store, records.release_artifact(store, version), "forward" if forward else "back")
