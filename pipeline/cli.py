"""The command line. Nothing heavy is imported here, nor by the commands before they run."""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from core.errors import TwostepError, UsageError
from core.printable import shown

COMMANDS = ("run", "tune", "recommend", "lineage", "release", "data", "config", "bench", "completion")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
      0: done; 1: it failed; 2: wrong use; 3: a rule held back the release; 130: interrupted; 143: terminated.
    """
    verbose = False
    try:
        given = list(sys.argv[1:] if argv is None else argv)
        if any("\0" in argument for argument in given):  # no file, release or key has such a name
            raise UsageError("an argument should hold no NUL character")
        arguments = parser().parse_args(given)
        verbose = arguments.verbose
        code = arguments.func(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: 0 after --help, 2 for wrong use
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except BrokenPipeError:
        # Who reads our output has closed it (`twostep … | head`). Nothing may be flushed to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except TwostepError as error:
        _say(str(error), verbose)
        return error.exit_code
    except OSError as error:  # a folder that is missing, a right, a full disk
        place = error.filename2 or error.filename
        _say(f"{place}: {error.strerror}" if place is not None and error.strerror else str(error), verbose)
        return 1
    except Exception as error:
        _say(
            f"unexpected {type(error).__name__}: {error}" + ("" if verbose else "\nRun again with -v for more"), verbose
        )
        return 1


class _Parser(argparse.ArgumentParser):
    """Every command, and each command below it, takes -v."""

    def __init__(self, **keywords: Any):
        super().__init__(**keywords)
        # No default here: a command's would undo the -v that stands before the command's name.
        self.add_argument(
            "-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="show logs and tracebacks"
        )

    def error(self, message: str) -> NoReturn:
        super().error(shown(message))


class _Version(argparse.Action):
    """Looks the version up only where it is asked for: that takes longer than all else here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"twostep {version('twostep')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = _Parser(
        prog="twostep",
        description="A production recommender in two steps: retrieval, then ranking.",
        epilog="Exit codes: 0 done; 1 failed; 2 wrong use; 3 a rule held back the release; 130 interrupted; "
        "143 terminated. docs/cli.md says when.",
    )
    parser.set_defaults(verbose=False)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"pipeline.commands.{name}").add_arguments(subparsers)
    return parser


def _say(message: str, with_traceback: bool = False) -> None:
    if with_traceback:
        traceback.print_exc()
    first, *rest = map(shown, message.split("\n"))
    print("\n".join([f"twostep: {first}", *rest]), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
