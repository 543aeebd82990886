"""Where the noise of the libraries goes: into a file, and to the terminal only where it is asked for."""

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
    """Send all that the process writes to `log_file`; yield a stream that still reaches standard output.

    With `to_error` the stream reaches standard error instead.

    TensorFlow's C++ parts write to file descriptor 2 themselves, past `sys.stderr`, and some of it before logging is
    set up; child processes inherit the descriptors. So descriptors 1 and 2 themselves are turned to the file, and our
    own words go to a duplicate of what 1 was. With `verbose` the log is also copied to what 2 was.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    old_out, old_err = os.dup(1), os.dup(2)
    encoding = sys.stdout.encoding or "utf-8"
    with contextlib.ExitStack() as stack:
        log = open(log_file, "a", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        stack.callback(_close, log)
        shown = os.dup(old_err if to_error else old_out)
        ours = stack.enter_context(os.fdopen(shown, "w", buffering=1, encoding=encoding, errors="replace"))
        stack.callback(os.close, old_out)
        stack.callback(os.close, old_err)
        if verbose:
            stack.enter_context(_following(log_file, old_err))
        stack.callback(_point_descriptors, old_out, old_err)
        _point_descriptors(log.fileno(), log.fileno())
        # A `sys.stdout` that is no longer descriptor 1 (a notebook's, a test's) would pass the file by.
        stack.enter_context(contextlib.redirect_stdout(log))
        stack.enter_context(contextlib.redirect_stderr(log))
        stack.enter_context(_python_logging(log))
        yield ours


def _close(log: TextIO) -> None:
    """Close the log; what a full disk does not take is lost, and must not hide the error that ended the run."""
    with contextlib.suppress(OSError):
        log.close()


def _point_descriptors(out: int, err: int) -> None:
    """Make descriptors 1 and 2 what `out` and `err` are."""
    os.dup2(out, 1)
    os.dup2(err, 2)


@contextlib.contextmanager
def _python_logging(log: TextIO) -> Iterator[None]:
    """Let the root logger and warnings write to `log`, and nothing else."""
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
    """Copy what is appended to `log_file` to `descriptor`.

    A thread reads the file rather than a pipe: C++ code that logs while it holds the interpreter's lock would wait for
    ever on a full pipe that only another Python thread can empty.
    """
    done = threading.Event()
    file = open(log_file, "rb")  # noqa: SIM115  the thread closes it; opened here, so that nothing is missed
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
