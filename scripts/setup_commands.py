"""What every part of the set-up needs: its error, its messages, and commands with their output.

Standard library only, Python 3.8 or newer, like all of `scripts/bootstrap.py`.
"""

import shutil
import subprocess
from pathlib import Path


class SetupError(Exception):
    """Something that the set-up needs is missing; the message says what it is and what to do."""


def say(message):
    """Print one line of progress."""
    print(f"setup: {message}", flush=True)


def run(*command, why, cwd=None, env=None, quiet=True):
    """Run a command.

    Args:
      why: the beginning of the error message if the command fails.
      quiet: whether its output is kept back; the last lines of it are then part of the error message.
    Raises:
      SetupError: it could not be started, or its exit code is not 0.
    """
    try:
        result = subprocess.run(
            command, cwd=cwd, env=env, text=True, close_fds=False,
            stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None,
        )  # fmt: skip
    except OSError as error:
        raise SetupError(f"{why}: {error}") from error
    if result.returncode:
        last_lines = "\n" + "\n".join((result.stdout or "").strip().splitlines()[-8:]) if quiet else ""
        raise SetupError(f"{why} (`{Path(command[0]).name}` ended with {result.returncode}){last_lines}")


def output(*command):
    """Return what a command prints on stdout; an empty string if it fails or does not exist."""
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if result.returncode else result.stdout


def exists(command):
    """Return whether a command is on PATH."""
    return shutil.which(command) is not None
