"""Arguments that several commands have."""

import argparse
from pathlib import Path

from core.errors import UsageError


def add_config(parser: argparse.ArgumentParser, help: str = "the YAML file of the configuration") -> None:
    """Add the positional argument `CONFIG`, a path."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help=help)


def place(text: str) -> str | Path:
    """Return an argument as a path, or as text if it is a URI. Raises: argparse.ArgumentTypeError for a wrong URI."""
    from core.storage import uris

    try:
        return uris.placed(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_public_key(parser: argparse.ArgumentParser) -> None:
    """Add the option `--public-key`, a path."""
    help = "a public key that releases must be signed with"
    parser.add_argument("--public-key", metavar="FILE", type=Path, help=help)


def add_place(parser: argparse.ArgumentParser, name: str, help: str) -> None:
    """Add a positional argument that is a path or a URI."""
    parser.add_argument(name, metavar=name.upper(), type=place, help=help)
