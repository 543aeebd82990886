"""Redirection of the output of libraries to a log file."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

_FOLLOW_EVERY_S = 0.2


@contextlib.contextmanager
def captured(log_file: Path, verbose: bool = False, to_error: bool = False) -> Iterator[TextIO]:
    """Redirect all output of the process to `log_file`; yield a stream to the original stdout.

    The C++ code of TensorFlow writes to file descriptor 2 directly, partly before logging is configured, and child
    processes inherit the descriptors. So descriptors 1 and 2 are redirected, and the yielded stream writes to a
    duplicate of the original descriptor.

    Args:
      log_file: the log file; new text is appended.
      verbose: whether to copy the log to the original stderr.
      to_error: whether the yielded stream writes to the original stderr in place of the original stdout.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    old_out, old_err = os.dup(1), os.dup(2)
    encoding = sys.stdout.encoding or "utf-8"
    with contextlib.ExitStack() as stack:
        log = open(log_file, "a", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        stack.callback(_close, log)
        duplicate = os.dup(old_err if to_error else old_out)
        stream = stack.enter_context(os.fdopen(duplicate, "w", buffering=1, encoding=encoding, errors="replace"))
        stack.callback(os.close, old_out)
        stack.callback(os.close, old_err)
        if verbose:
            stack.enter_context(_following(log_file, old_err))
        stack.callback(_point_descriptors, old_out, old_err)
        _point_descriptors(log.fileno(), log.fileno())
        # A `sys.stdout` that is not descriptor 1, as in a notebook or a test, is redirected separately.
        stack.enter_context(contextlib.redirect_stdout(log))
        stack.enter_context(contextlib.redirect_stderr(log))
        stack.enter_context(_python_logging(log))
        yield stream


def _close(log: TextIO) -> None:
    """Close the log and ignore errors such as a full disk, which must not hide the error that ended the run."""
    with contextlib.suppress(OSError):
        log.close()


def _point_descriptors(out: int, err: int) -> None:
    """Redirect descriptors 1 and 2 to `out` and `err`."""
    os.dup2(out, 1)
    os.dup2(err, 2)


@contextlib.contextmanager
def _python_logging(log: TextIO) -> Iterator[None]:
    """Redirect the root logger and warnings to `log`."""
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = before
        root.setLevel(level)


@contextlib.contextmanager
def _following(log_file: Path, descriptor: int) -> Iterator[None]:
    """Copy text that is appended to `log_file` to the file descriptor `descriptor`, until the block ends.

    The thread reads the log file and not a pipe, because C++ code that logs while it holds the GIL would deadlock on a
    full pipe: the Python thread that reads the pipe needs the GIL.
    """
    done = threading.Event()
    file = open(log_file, "rb")  # noqa: SIM115  the thread closes it; opened before the thread starts, to skip no text
    file.seek(0, os.SEEK_END)

    def follow() -> None:
        with file, contextlib.suppress(OSError):
            ending = False
            while not ending:
                ending = done.wait(_FOLLOW_EVERY_S)
                while chunk := file.read(1 << 16):
                    os.write(descriptor, chunk)

    thread = threading.Thread(target=follow, name="log-follower", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
