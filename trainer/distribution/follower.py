"""The process that trains for the latest call of another machine. No TensorFlow here."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from trainer.distribution.machines import Call

END_S = 10  # how long a process may take to end by itself after its call is deleted


class Follower:
    """The process of the latest call, on one machine.

    Args:
      machine: the number of the machine.
    """

    def __init__(self, machine: int):
        self._machine = machine
        self._id: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ends_at = 0.0

    def follow(self, found: tuple[Path, Call] | None) -> None:
        """Start a process for a new call; end that of a call that is no longer there.

        Args:
          found: the file and the content of the latest call; None without a call.
        """
        if self._process is not None and self._process.poll() is not None:
            print(f"the process ended with {self._process.returncode}", flush=True)
            self._process = None
        if found is not None and found[1].id != self._id:
            self.end()
            file, call = found
            self._id = call.id
            print(f"training for the step {call.step}", flush=True)
            command = [sys.executable, "-m", "trainer.distribution.machine", str(file), str(self._machine)]
            self._process = subprocess.Popen(command, start_new_session=True)
        if found is not None:
            self._ends_at = time.monotonic() + END_S
        elif time.monotonic() > self._ends_at:
            self.end()

    def end(self) -> None:
        """End the process and those that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
