"""The errors of failed nodes, as users see them."""

import errno
import os
import re
from collections.abc import Iterator
from typing import Any

import core.errors
from core.errors import DataError, TwostepError

DATA_FIELDS = ("file", "place", "found", "todo")  # the arguments of a DataError

# Errors of C++ libraries and of SQLite have a message but no error number.
_DISK_FULL = re.compile(f"{os.strerror(errno.ENOSPC)}|database or disk is full")


def explained(node_id: str, error: BaseException, todo: str = "Run again with -v for the log") -> TwostepError:
    """Return the TwostepError that caused the failure of a node, or else a new one with the node and the error.

    Args:
      node_id: the id of the node.
      error: the error.
      todo: the last line of a new error: where the user finds more.
    """
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, TwostepError):
            return link
    for link in chain:
        from_worker = _from_beam(str(link))
        if from_worker is not None:
            return from_worker
    text = str(error).strip() or "no message"
    if any(isinstance(link, OSError) and link.errno == errno.ENOSPC for link in chain) or _DISK_FULL.search(text):
        return TwostepError(
            f"{node_id} could not write: the disk is full ({os.strerror(errno.ENOSPC)}). Free some space in the run "
            "folder and the temporary folder, and run again; earlier nodes are in the cache"
        )
    return TwostepError(f"{node_id} failed with {type(error).__name__}: {_shortened(text)}\n{todo}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _from_beam(text: str) -> TwostepError | None:
    """Return the TwostepError in a message of Beam, which contains a worker's traceback as text; None without one."""
    pattern = r"(?:^|RuntimeError: )core\.(?:storage\.)?errors\.(\w+): (.*?)(?: \[while running |\n\n|\Z)"
    matches = re.findall(pattern, text, flags=re.MULTILINE | re.DOTALL)
    if not matches:
        return None
    name, message = matches[-1]
    return _with_exit_code(message, getattr(getattr(core.errors, name, TwostepError), "exit_code", 1))


def described(error: TwostepError) -> dict[str, Any]:
    """Return an error as JSON values, from which `restored` makes it in another process."""
    fields = {key: getattr(error, key) for key in DATA_FIELDS} if isinstance(error, DataError) else {}
    return {"message": str(error), "exit_code": error.exit_code, "fields": fields}


def restored(description: dict[str, Any]) -> TwostepError:
    """Return the error that `described` described: a DataError, or a TwostepError with its message and exit code."""
    if description["fields"]:
        return DataError(**description["fields"])
    return _with_exit_code(description["message"], description["exit_code"])


def _with_exit_code(message: str, exit_code: int) -> TwostepError:
    """Return an error with a message and an exit code."""
    error = TwostepError(message)
    error.exit_code = exit_code
    return error


def _shortened(text: str, lines: int = 6) -> str:
    """Return the last lines of a long message; the last lines of a traceback contain the error."""
    parts = text.splitlines()
    return text if len(parts) <= lines else "\n".join(["…", *parts[-lines:]])
