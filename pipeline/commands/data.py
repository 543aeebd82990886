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
    freezing.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="the share of values not seen before, and of missing values, that is no anomaly (0 by default)",
    )
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
    """Write the latest run's schemas, relaxed, beside the configuration, whose `data.schema_folder` imports them.

    Raises:
      UsageError: no run has inferred schemas yet, or the tolerance is no share.
    """
    from core import names
    from core.errors import UsageError
    from core.files import replacing
    from pipeline import config, lineage, paths

    if not 0 <= args.tolerance < 1:
        raise UsageError(f"--tolerance should be a share from 0 to below 1; found {args.tolerance:g}")
    loaded = config.load(args.config)
    store = lineage.open_store(paths.metadata_file(loaded))
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

    from pipeline import frozen

    named = loaded.data.schema_folder or "schema"
    folder = args.config.absolute().parent / named
    for table in loaded.data.tables:
        node = names.NODE_NAMES[table]
        inferred = lineage.latest_output(store, f"{node}SchemaGen", "schema") / "schema.pbtxt"
        counted = lineage.latest_output(store, f"{node}StatisticsGen", "statistics")
        statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(
            (counted / f"Split-{names.ALL}" / "FeatureStats.pb").read_bytes()
        )
        schema = text_format.Parse(inferred.read_text(encoding="utf-8"), schema_pb2.Schema())
        schema = frozen.relaxed(schema, statistics.datasets[0], loaded, table, args.tolerance)
        with replacing(folder / f"{table}.pbtxt") as partial:
            partial.write_text(text_format.MessageToString(schema), encoding="utf-8")
        sizes = frozen.domain_sizes(schema).items()
        listed = ", ".join(f"{column} ({size} values)" for column, size in sizes) or "no column's values"
        print(f"{folder / table}.pbtxt: holds later deliveries to {listed}")
    if loaded.data.schema_folder is None:
        print(f"To import them, add to {args.config} under `data`:\n  schema_folder: {named}")
    return 0
