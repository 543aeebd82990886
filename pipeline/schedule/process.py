"""A run as a process of its own: its start, its end, and the signals of the scheduler.

The process writes its answer (JSON) and its progress to files, and holds a lock on the first of them while it lives. So
a scheduler that was killed and is started again finds out whether the process still runs, and what it ended with.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pipeline

_POLL_S = 0.1  # between two looks at a process
_TRIES = 5  # to lock a file
_WAKES = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """The signals SIGTERM and SIGINT, recorded in place of their usual effect while the context is entered.

    Attributes:
      received: the signals received so far.
    """

    def __init__(self) -> None:
        self.received: list[int] = []

    def __enter__(self) -> "Signals":
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        self._writer = writer
        # A shell starts background processes with SIGINT ignored; SIGINT then stays ignored.
        recorded = [each for each in _WAKES if signal.getsignal(each) is not signal.SIG_IGN]
        self._before = {each: signal.signal(each, self._receive) for each in recorded}
        self._wakeup = signal.set_wakeup_fd(writer)
        return self

    def __exit__(self, *details: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for each, handler in self._before.items():
            signal.signal(each, handler)
        os.close(self._reader)
        os.close(self._writer)

    def _receive(self, number: int, frame: object) -> None:
        self.received.append(number)

    def sleep(self, seconds: float) -> None:
        """Wait until a signal is received, and at most `seconds`."""
        if select.select([self._reader], [], [], max(0.0, seconds))[0]:
            os.read(self._reader, 4096)


class Files:
    """The files of a run: its answer, its progress, and the id of its process."""

    def __init__(self, folder: Path, number: int):
        self.answer, self.log, self.pid = (folder / f"{number}.{suffix}" for suffix in ("json", "log", "pid"))

    def delete(self) -> None:
        """Delete the files."""
        for file in (self.answer, self.log, self.pid):
            file.unlink(missing_ok=True)

    def read_answer(self) -> dict[str, Any] | None:
        """Return what the run printed; None if it did not come to its end."""
        try:
            answer = json.loads(self.answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return answer if isinstance(answer, dict) else None


def command(*words: str) -> list[str]:
    """Return a command line of `twostep` in this Python."""
    return [sys.executable, "-m", "pipeline.cli", *words]


def code_root() -> Path:
    """Return the folder from which `pipeline` is imported."""
    return Path(pipeline.__file__).resolve().parents[1]


def run(files: Files, words: Sequence[str], signals: Signals) -> int:
    """Run `twostep` in a process until it ends and return its exit code, negative for a signal.

    The first SIGTERM or SIGINT of the scheduler is passed on to the process; a second one kills it.
    """
    before = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(code_root()), before]))}
    files.answer.parent.mkdir(parents=True, exist_ok=True)
    with open(files.answer, "w") as answer, open(files.log, "w") as log:
        # The lock belongs to the open file, which the process has as its stdout; it ends with the last of both.
        fcntl.flock(answer, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process = subprocess.Popen(
            command(*words),
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C in a terminal reaches the scheduler only, which passes it on
        )
    files.pid.write_text(str(process.pid))
    passed = 0
    while (code := process.poll()) is None:
        passed = _pass_on(signals, passed, process.pid)
        signals.sleep(_POLL_S)
    return code


def wait_for_orphan(files: Files, signals: Signals) -> None:
    """Wait until the process of a run that another scheduler started has ended; pass signals on to it."""
    passed = 0
    while _is_locked(files.answer):
        with contextlib.suppress(OSError, ValueError):
            passed = _pass_on(signals, passed, int(files.pid.read_text()))
        signals.sleep(_POLL_S)


def _pass_on(signals: Signals, passed: int, pid: int) -> int:
    """Send signals that were received and not passed on yet to a process; return how many are passed on now."""
    received = list(signals.received)
    for place, number in enumerate(received[passed:], passed):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number if place == 0 else signal.SIGKILL)
    return max(passed, len(received))


def _is_locked(file: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), open(file) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_busy(run_folder: Path) -> bool:
    """Return whether a run holds the run folder."""
    return _is_locked(run_folder / ".lock")


@contextlib.contextmanager
def only_scheduler(file: Path) -> Iterator[bool]:
    """Yield whether this process is the only scheduler of a run folder; if so, it is until the block ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a+") as handle:
        for _ in range(_TRIES):  # `_is_locked` of another process may hold the lock for an instant
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_POLL_S)
        else:
            yield False
            return
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield True


def scheduler_id(file: Path) -> int | None:
    """Return the id of the process that schedules; None if none does."""
    if not _is_locked(file):
        return None
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text())
    return None
