"""The error, the progress messages and the execution of commands that all parts of the set-up share.

Standard library only, Python 3.8 or newer, like all of `scripts/bootstrap.py`.
"""

import shutil
import subprocess
from pathlib import Path


class SetupError(Exception):
    """An error of the set-up, such as a missing program; the message says what is wrong and what to do."""


def say(message):
    """Print one line of progress."""
    print(f"setup: {message}", flush=True)


def run(*command, why, cwd=None, env=None, quiet=True):
    """Run a command.

    Args:
      command: the program and its arguments.
      why: the beginning of the error message if the command fails.
      cwd: the working directory; None for the present one.
      env: the environment variables; None for those of this process.
      quiet: whether to hide the output of the command; its last lines are then part of the error message.
    Raises:
      SetupError: the command could not be started, or its exit code is not 0.
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
    """Return the stdout of a command; an empty string if the command fails or does not exist."""
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if result.returncode else result.stdout


def exists(command):
    """Return whether a command is on PATH."""
    return shutil.which(command) is not None
