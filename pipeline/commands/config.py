"""`twostep config check|explain`: check a configuration, or explain its keys."""

import argparse
from pathlib import Path

from pipeline.commands.arguments import add_config


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the commands `config check` and `config explain`."""
    config = subparsers.add_parser("config", help="check a configuration, or explain its keys")
    commands = config.add_subparsers(required=True, metavar="check|explain")
    checking = commands.add_parser(
        "check", help="check a configuration and the existence of its data, without running anything"
    )
    add_config(checking)
    checking.set_defaults(func=check)
    explaining = commands.add_parser("explain", help="print every key with its type, default and description")
    explaining.add_argument("key", metavar="KEY", nargs="?", help="a key, such as retrieval.index; by default all")
    explaining.set_defaults(func=show)


def check(arguments: argparse.Namespace) -> int:
    """Check a configuration and print its paths."""
    from core import names
    from core.printable import printable
    from pipeline import config
    from pipeline.config import list_lengths, paths

    loaded = config.load(arguments.config)
    tables = paths.table_listings(loaded, arguments.config)
    if paths.are_files_here(loaded, arguments.config):
        list_lengths.check_files(loaded, [Path(file) for file in tables[names.ITEMS].files])
    paths.check_keys(loaded, arguments.config)
    lines = [f"{arguments.config}: ok", f"  data      {paths.data_root(loaded, arguments.config)}"]
    for table, found in tables.items():
        count = f"{len(found.files)} {'file' if len(found.files) == 1 else 'files'}"
        is_path = isinstance(loaded.data.locations[table], str)
        lines.append(f"    {table:<14}{loaded.data.paths[table]}{f': {count}' if is_path else ''}")
    lines += [f"  runs      {paths.run_folder(loaded)}", f"  releases  {paths.releases_folder(loaded)}"]
    print("\n".join(map(printable, lines)))
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print the keys of a configuration."""
    from pipeline.config import explain

    print(explain.explain(arguments.key), end="")
    return 0
