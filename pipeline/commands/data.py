"""`twostep data`: public datasets as canonical tables, and the schemas that later deliveries are held against."""

import argparse
import textwrap
from pathlib import Path

from pipeline import datasets


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Register `data list`, `data get` and `data freeze`; each sets `func`, arguments -> exit code."""
    data = subparsers.add_parser("data", help="public datasets as tables, and frozen schemas")
    commands = data.add_subparsers(dest="data_command", required=True, metavar="list|get|freeze")
    listing = commands.add_parser("list", help="the datasets, their size and terms, and which are here")
    listing.set_defaults(func=show)
    getting = commands.add_parser("get", help="fetch, check and convert one; nothing to do when it is here")
    getting.add_argument("name", metavar="NAME", help=", ".join(datasets.NAMES))
    getting.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="the source that you have already: the file, or its folder",
    )
    getting.set_defaults(func=get)
    freezing = commands.add_parser(
        "freeze", help="keep the schemas that the latest run inferred, to hold later tables against"
    )
    freezing.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file")
    freezing.set_defaults(func=freeze)


def show(args: argparse.Namespace) -> int:
    """Print every dataset."""
    for dataset in datasets.describe():
        print(f"{dataset.name}  ({'here' if dataset.here else 'not fetched'})")
        for line in (dataset.size, dataset.has, f"terms: {dataset.terms}"):
            print(textwrap.fill(line, 100, initial_indent="    ", subsequent_indent="      "))
    print(f"\n`twostep data get NAME` puts one in {datasets.cache_folder('NAME')}")
    return 0


def get(args: argparse.Namespace) -> int:
    """Fetch one and print where it lies and its terms."""
    folder = datasets.get(args.name, args.source, print)
    print(f"\n{folder}")
    return 0


def freeze(args: argparse.Namespace) -> int:
    """Copy the latest run's schemas beside the configuration, whose `data.schema_folder` imports them.

    Raises:
      UsageError: no run has inferred schemas yet.
    """
    from core import names
    from core.files import replacing
    from pipeline import config, lineage, paths

    loaded = config.load(args.config)
    store = lineage.open_store(paths.metadata_file(loaded))
    named = loaded.data.schema_folder or "schema"
    folder = args.config.absolute().parent / named
    for table in loaded.data.tables:
        source = lineage.latest_output(store, f"{names.NODE_NAMES[table]}SchemaGen", "schema") / "schema.pbtxt"
        with replacing(folder / f"{table}.pbtxt") as partial:
            partial.write_bytes(source.read_bytes())
    print(f"{folder}: the schemas of {', '.join(loaded.data.tables)}")
    if loaded.data.schema_folder is None:
        print(f"To import them, add to {args.config} under `data`:\n  schema_folder: {named}")
    return 0
