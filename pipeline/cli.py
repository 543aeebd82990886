"""The command line. Neither this module nor those of the commands import anything heavy before a command runs."""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from core.errors import TwostepError, UsageError
from core.printable import as_error, shown

COMMANDS = (
    "run",
    "compile",
    "submit",
    "schedule",
    "train",
    "tune",
    "serve",
    "experiment",
    "recommend",
    "replay",
    "lineage",
    "release",
    "data",
    "config",
    "bench",
    "completion",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Returns:
      0: success; 1: failure; 2: wrong use; 3: a rule held back the release; 130: interrupted; 143: terminated.
    """
    verbose = False
    try:
        words = list(sys.argv[1:] if argv is None else argv)
        if any("\0" in word for word in words):  # a file name, a version or a key cannot contain NUL
            raise UsageError("arguments should not contain a NUL character")
        arguments = parser().parse_args(words)
        verbose = arguments.verbose
        code = arguments.func(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: 0 after --help, 2 for wrong use
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        _print_error("interrupted")
        return 130
    except BrokenPipeError:
        # The reader closed stdout (`twostep … | head`). Redirect stdout, so that the flush at exit does not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except TwostepError as error:
        _print_error(str(error), verbose)
        return error.exit_code
    except OSError as error:  # a missing folder, missing permissions, a full disk
        place = error.filename2 or error.filename
        _print_error(f"{place}: {error.strerror}" if place is not None and error.strerror else str(error), verbose)
        return 1
    except Exception as error:
        _print_error(
            f"unexpected {type(error).__name__}: {error}"
            + ("" if verbose else "\nRun again with -v for the traceback"),
            verbose,
        )
        return 1


class _Parser(argparse.ArgumentParser):
    """A parser whose commands and subcommands all have `-v`."""

    def __init__(self, **keywords: Any):
        super().__init__(**keywords)
        # No default, because the default of a subcommand would override a -v that stands before the subcommand.
        self.add_argument(
            "-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="show logs and tracebacks"
        )

    def error(self, message: str) -> NoReturn:
        """Print an error without control characters and exit."""
        super().error(shown(message))


class _Version(argparse.Action):
    """The action of `--version`, which looks up the version only when it is used, since that is slow."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the version and exit."""
        from importlib.metadata import version

        print(f"twostep {version('twostep')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = _Parser(
        prog="twostep",
        description="A recommender in two steps, retrieval and ranking.",
        epilog="Exit codes: 0 success; 1 failure; 2 wrong use; 3 a rule held back the release; 130 interrupted; "
        "143 terminated. See docs/cli.md.",
    )
    parser.set_defaults(verbose=False)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"pipeline.commands.{name}").add_arguments(subparsers)
    return parser


def _print_error(message: str, with_traceback: bool = False) -> None:
    """Print the message of an error to stderr."""
    if with_traceback:
        traceback.print_exc()
    print(as_error(message), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
