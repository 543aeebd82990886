"""`twostep data`: public datasets as canonical tables."""

import argparse
import textwrap
from pathlib import Path

from pipeline import datasets


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Register `data list` and `data get`; each sets `func`, arguments -> exit code."""
    data = subparsers.add_parser("data", help="named public datasets as canonical tables")
    commands = data.add_subparsers(dest="data_command", required=True, metavar="list|get")
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
