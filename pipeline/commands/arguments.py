"""Arguments that several commands have."""

import argparse
from pathlib import Path


def add_config(parser: argparse.ArgumentParser, help: str = "the YAML file of the configuration") -> None:
    """Add the positional argument `CONFIG`, a path."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help=help)
