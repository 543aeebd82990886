"""The process that starts the workers of a server, and starts one again that ended. It loads no models."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from core.errors import TwostepError

READY, ITEMS, FAILED = "ready", "items", "failed"  # what workers tell: a version; changed items; a message and a code
ATTEMPTS = 3  # how often a worker is started before any was ready
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0  # between the end of a worker and its next start
STABLE_S = 60  # after this time a worker that ends is started again after the first delay
END_S = 20  # how long workers may take to end

Start = Callable[[int], tuple[BaseProcess, Connection]]  # the number of a worker → its process, and a channel to it

log = logging.getLogger("twostep.serve")


@dataclass
class _Worker:
    """A worker, or the place of one that ended and will be started again at `due`."""

    number: int
    process: BaseProcess | None = None
    channel: Connection | None = None
    version: str | None = None  # the release that it was ready with
    failure: tuple[str, int] | None = None  # the message and the exit code of an error
    began: float = 0.0
    due: float = 0.0
    delay: float = FIRST_DELAY_S
    starts: int = 0


class Supervisor:
    """Some workers.

    Args:
      start: starts a worker.
      count: the number of workers.
      ended: is called with the process id of each worker that ended.
    """

    def __init__(self, start: Start, count: int, ended: Callable[[int], None]):
        self._start, self._ended = start, ended
        self._workers = [_Worker(number) for number in range(count)]
        self._used = False  # whether a worker has been ready

    def run(self, ready: Callable[[str], None]) -> None:
        """Keep the workers running until SIGINT or SIGTERM, then end them in order.

        Args:
          ready: is called with a version when all workers are ready for the first time.
        Raises:
          TwostepError: no worker became ready.
        """
        told = False
        with _told_to_end() as end:
            try:
                while True:
                    for worker in self._workers:
                        if worker.process is None and time.monotonic() >= worker.due:
                            self._begin(worker)
                    if end in wait([end, *self._waited()], self._until_due()):
                        return
                    for worker in self._workers:
                        self._look(worker)
                    versions = [each.version for each in self._workers if each.version is not None]
                    if not told and len(versions) == len(self._workers):
                        told = True
                        ready(versions[0])
            finally:
                self._end()

    def _begin(self, worker: _Worker) -> None:
        worker.version, worker.failure, worker.began = None, None, time.monotonic()
        worker.process, worker.channel = self._start(worker.number)
        worker.starts += 1

    def _waited(self) -> Iterator[Connection | int]:
        """Yield what changes when a worker says something or ends."""
        for worker in self._workers:
            if worker.process is not None:
                yield worker.process.sentinel
            if worker.channel is not None:
                yield worker.channel

    def _until_due(self) -> float | None:
        """Return the seconds until the next start; None without one."""
        due = [worker.due for worker in self._workers if worker.process is None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _look(self, worker: _Worker) -> None:
        """Take what a worker said, and whether it ended."""
        alive = worker.process is not None and worker.process.is_alive()
        while worker.channel is not None and worker.channel.poll():
            try:
                kind, value = worker.channel.recv()
            except (EOFError, OSError):
                worker.channel.close()
                worker.channel = None
                break
            if kind == READY:
                worker.version, self._used = value, True
            elif kind == FAILED:
                worker.failure = value
            elif kind == ITEMS:
                self._tell_others(worker)
        if worker.process is not None and not alive:
            self._after(worker, worker.process)

    def _tell_others(self, teller: _Worker) -> None:
        """Tell the other workers to look at changed items."""
        for worker in self._workers:
            if worker is not teller and worker.channel is not None:
                with suppress(OSError):  # it ended
                    worker.channel.send(ITEMS)

    def _after(self, worker: _Worker, process: BaseProcess) -> None:
        """Plan the next start of a worker that ended. Raises: TwostepError if none was ever ready."""
        process.join()
        reason = worker.failure[0] if worker.failure else f"it ended with code {process.exitcode}"
        self._ended(process.pid or 0)
        if worker.channel is not None:
            worker.channel.close()
        worker.process = worker.channel = None
        if not self._used and worker.failure is not None:
            error = TwostepError(reason)
            error.exit_code = worker.failure[1]
            raise error
        if not self._used and worker.starts >= ATTEMPTS:
            raise TwostepError(f"no worker became ready after {ATTEMPTS} attempts: {reason}. Run again with -v")
        if worker.version is not None and time.monotonic() - worker.began > STABLE_S:
            worker.delay = FIRST_DELAY_S
        worker.due = time.monotonic() + worker.delay
        log.warning("worker %d is started again in %g s: %s", worker.number, worker.delay, reason)
        worker.delay = min(2 * worker.delay, LONGEST_DELAY_S)
        worker.version = None

    def _end(self) -> None:
        """End all workers: in order if they do so in time."""
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.terminate()
        end = time.monotonic() + END_S
        for process in running:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()


@contextmanager
def _told_to_end() -> Iterator[int]:
    """Yield a descriptor that can be read from when the process gets SIGINT or SIGTERM in the block."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def tell(*_: object) -> None:
        with suppress(OSError):
            os.write(writing, b".")

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield reading
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
