"""`twostep data list|get|check|freeze`: public datasets, checks of tables, and schemas for later deliveries."""

import argparse
import json
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import datasets
from pipeline.commands.arguments import add_config

if TYPE_CHECKING:
    from pipeline.config.data_check import TableCheck


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the commands `data list`, `data get`, `data check` and `data freeze`."""
    data = subparsers.add_parser("data", help="public datasets, checks of tables, and schemas")
    commands = data.add_subparsers(dest="data_command", required=True, metavar="list|get|check|freeze")
    listing = commands.add_parser(
        "list", help="print the datasets with their size and terms of use, and which are in the cache"
    )
    listing.set_defaults(func=show)
    getting = commands.add_parser("get", help="download, check and convert a dataset that is not in the cache")
    getting.add_argument("name", metavar="NAME", help=", ".join(datasets.NAMES))
    getting.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="the file of the source, or its folder, if it is already downloaded",
    )
    getting.set_defaults(func=get)
    checking = commands.add_parser(
        "check",
        help="read the tables and print all their problems, without a run",
        description="Read all tables and print every problem that would stop a run before training: wrong rows and "
        "files, repeated keys, unknown users and items, and more dropped rows than `max_dropped` allows. "
        "Exit code 0: no problems; 1: problems; 2: the configuration is wrong.",
    )
    add_config(checking)
    checking.add_argument("--json", action="store_true", help="print one JSON object")
    checking.set_defaults(func=check)
    freezing = commands.add_parser(
        "freeze", help="write the schemas that the latest run inferred, to validate later tables"
    )
    add_config(freezing)
    freezing.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="the largest share of new values, and of missing values, that is not an anomaly: from 0 to below 1; 0 by "
        "default",
    )
    freezing.set_defaults(func=freeze)


def show(args: argparse.Namespace) -> int:
    """Print every dataset."""
    for dataset in datasets.describe():
        print(f"{dataset.name}  ({'in the cache' if dataset.is_cached else 'not in the cache'})")
        for line in (dataset.size, dataset.columns, f"terms: {dataset.terms}"):
            print(textwrap.fill(line, 100, initial_indent="    ", subsequent_indent="      "))
    print(f"\n`twostep data get NAME` writes a dataset to {datasets.cache_folder('NAME')}")
    return 0


def get(args: argparse.Namespace) -> int:
    """Download a dataset and print its folder and terms of use."""
    folder = datasets.get(args.name, args.source, print)
    print(f"\n{folder}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Print the size of the tables, and their problems to stderr; return 1 if there are problems."""
    from core.errors import DataError
    from pipeline import config
    from pipeline.config import data_check

    loaded = config.load(args.config)
    checks = data_check.check(loaded, args.config)
    problems = [problem for each in checks for problem in each.problems]
    if args.json:
        print(json.dumps({"ok": not problems, "tables": [_as_json(each) for each in checks]}, indent=2))
        return 1 if problems else 0
    rows = [("table", "rows", "dropped", "files", "spans", "columns")]
    for each in checks:
        count = sum(each.dropped.values())
        dropped = f"{count:,} ({count / each.rows:.2%})" if count else "0"
        spans = ", ".join(each.spans) or "-"
        rows.append((each.table, f"{each.rows:,}", dropped, str(each.files), spans, ", ".join(each.columns) or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(row[column].rjust(widths[column]) for column in range(1, 5)), row[5]]
        print("  ".join(cells))
    for problem in problems:
        print(f"twostep: {DataError(*problem)}", file=sys.stderr)
    result = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    print(f"{args.config}: {result if problems else 'ok'}")
    return 1 if problems else 0


def _as_json(check: "TableCheck") -> dict[str, Any]:
    """Return the result of the check of a table as a JSON object."""
    return asdict(check) | {"problems": [problem._asdict() for problem in check.problems]}


def freeze(args: argparse.Namespace) -> int:
    """Write the schemas of the latest run, relaxed by the tolerance, to the folder `data.schema_folder`.

    Raises:
      UsageError: no run has inferred schemas yet, or the tolerance is not a share.
    """
    from core import names, node_ids
    from core.errors import UsageError
    from core.files import replacing
    from pipeline import config
    from pipeline.config import paths
    from pipeline.lineage import records

    if not 0 <= args.tolerance < 1:
        raise UsageError(f"--tolerance should be a share from 0 to below 1; found {args.tolerance:g}")
    loaded = config.load(args.config)
    database = paths.metadata_database(loaded)
    store = database.open()
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

    from pipeline.dag import frozen

    def output(node: str, key: str) -> Path:
        return records.latest_output(store, node, key, database.pipeline)

    name = loaded.data.schema_folder or "schema"
    folder = args.config.absolute().parent / name
    for table in loaded.data.tables:
        inferred = output(node_ids.schema_gen(table), "schema") / "schema.pbtxt"
        statistics_folder = output(node_ids.statistics_gen(table), "statistics")
        statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(
            (statistics_folder / f"Split-{names.ALL}" / names.STATISTICS_FILE).read_bytes()
        )
        schema = text_format.Parse(inferred.read_text(encoding="utf-8"), schema_pb2.Schema())
        schema = frozen.relaxed(schema, statistics.datasets[0], loaded, table, args.tolerance)
        with replacing(folder / f"{table}.pbtxt") as partial:
            partial.write_text(text_format.MessageToString(schema), encoding="utf-8")
        sizes = frozen.domain_sizes(schema).items()
        values = ", ".join(f"{column} ({size})" for column, size in sizes)
        print(
            f"{folder / table}.pbtxt: {len(schema.feature)} columns" + (f", with values of {values}" if values else "")
        )
    if loaded.data.schema_folder is None:
        print(f"To import them, add to {args.config} under `data`:\n  schema_folder: {name}")
    return 0
