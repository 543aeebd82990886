"""`twostep completion`: print a completion script for a shell."""

import argparse


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `completion`."""
    parser = subparsers.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Print a completion script. For bash: source <(twostep completion bash); for zsh: source "
        "<(twostep completion zsh); for fish: twostep completion fish | source.",
    )
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    parser.set_defaults(func=show)


def show(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from pipeline import cli
    from pipeline.commands import completion_scripts

    print(completion_scripts.SHELLS[arguments.shell](cli.parser()), end="")
    return 0
