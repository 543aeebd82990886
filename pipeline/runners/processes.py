"""The processes that a process has started, which Linux lists."""

import contextlib
import os
import signal
from pathlib import Path


def end_descendants(pid: int) -> None:
    """End the processes that a process has started, directly or not: servers and workers of Beam.

    Beam ends them at a normal exit only, and this program ends processes by signals and `os._exit`.
    """
    for child in _descendants(pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):  # the process has ended, or this system does not list children
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                found += [child, *_descendants(child)]
    return found
