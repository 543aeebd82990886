"""`twostep lineage`: trace a release back to source files, or a file forward to releases."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError
from core.printable import one_line
from pipeline.commands.arguments import add_place

if TYPE_CHECKING:
    from pipeline.commands.release_source import Source
    from pipeline.config import Config
    from pipeline.lineage.graph import Lineage


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `lineage`."""
    parser = subparsers.add_parser(
        "lineage",
        help="trace a release back to source files, or a file forward to releases",
        description="Print the artifacts, nodes and source files that a release or another artifact was made from. "
        "With --forward or a source file, print the artifacts and nodes that were made from it.",
    )
    add_place(parser, "source", "a configuration, or the folder or URI of a release or of releases")
    parser.add_argument(
        "ref",
        metavar="REF",
        nargs="?",
        help="the version of a release, `artifact:ID`, or a source file, which is traced forward; "
        "by default the release in force",
    )
    parser.add_argument("--forward", action="store_true", help="trace forward, to the artifacts made from REF")
    parser.add_argument("--format", choices=("text", "json", "svg"), default="text", help="the output format (text)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="the file to write to; by default stdout")
    parser.set_defaults(func=show)


def show(arguments: argparse.Namespace) -> int:
    """Trace and print the lineage."""
    from core.files import replacing
    from core.release.store import open_store
    from pipeline.commands import release_source
    from pipeline.config import paths
    from pipeline.lineage import views

    source = release_source.find(arguments.source)
    config, releases = source.config, open_store(source.location)
    if config is not None and (paths.metadata_database(config).exists() or not releases.versions()):
        lineage = _recorded(config, arguments.ref, arguments.forward)
    else:
        lineage = _of_release(source, arguments.ref, arguments.forward)
    text = getattr(views, f"as_{arguments.format}")(lineage)
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    with replacing(arguments.output) as partial:
        partial.write_text(text, encoding="utf-8")
    return 0


def _of_release(source: "Source", ref: str | None, forward: bool) -> "Lineage":
    """Return the lineage in the manifest of a release, which needs no ML Metadata.

    Raises:
      UsageError: something else than a release is to be traced, or the manifest holds no lineage.
      ReleaseError, StorageError: the release cannot be read.
    """
    from core.release import reader
    from pipeline.commands import release_source
    from pipeline.lineage import graph

    if forward or (ref is not None and not reader.VERSION.fullmatch(ref)):
        raise UsageError(
            "only the lineage of a release can be told from its manifest. Give its version, or a configuration with a "
            "run folder to trace artifacts and files"
        )
    with release_source.reading(source, ref) as folder:
        manifest = reader.manifest_of(folder, source.trusted)
    return graph.of_release(manifest, f"{source.location}/{manifest['version']}")


def _recorded(config: "Config", ref: str | None, forward: bool) -> "Lineage":
    """Return the lineage of `ref`, a release, an artifact or a file. Raises: UsageError if it is not recorded."""
    from core.release.store import open_store
    from pipeline.config import paths
    from pipeline.lineage import records

    database = paths.metadata_database(config)
    store = database.open()
    if ref is not None and ref.startswith("artifact:"):
        number = ref.removeprefix("artifact:")
        if not re.fullmatch("[0-9]{1,18}", number):
            raise UsageError(f"{one_line(ref)}: should be `artifact:` and a number, such as artifact:12")
        return records.trace(store, int(number), "forward" if forward else "back")
    if ref is not None and (Path(ref).suffix or "/" in ref or Path(ref).is_file()):
        return records.trace(store, records.artifacts_of_file(store, ref, database.pipeline), "forward")
    version = ref if ref is not None else open_store(paths.releases_folder(config)).current()
    if version is None:
        raise UsageError(
            f"{paths.releases_folder(config)}: there is no release yet. Run the pipeline, or give artifact:ID"
        )
    artifact = records.release_artifact(store, version, database.pipeline)
    return records.trace(store, artifact, "forward" if forward else "back")
