"""Calls that arrive within a short time, answered as one batch in a thread."""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")
Results = Sequence[Result | Exception] | Iterator[tuple[int, Result | Exception]]


class BusyError(Exception):
    """There are more waiting calls than are allowed."""


class Batcher(Generic[Value, Result]):
    """A thread that answers calls in batches.

    While a batch is answered, the next calls gather; a call that finds the thread idle waits `wait_s` for others.

    Args:
      answer: returns the result of each value, in their order, or an exception in its place; or an iterator of
        positions with their results, each of which its caller gets at once.
      most: the maximum number of values of a batch.
      wait_s: how long the first value of a batch waits for others.
      waiting: the maximum number of waiting values.
    """

    def __init__(
        self,
        answer: "Callable[[Sequence[Value]], Results[Result]]",
        most: int,
        wait_s: float = 0.0,
        waiting: int = 10_000,
    ):
        self._answer, self._most, self._wait_s = answer, most, wait_s
        self._queue: queue.Queue[tuple[Value, asyncio.Future[Result], asyncio.AbstractEventLoop] | None]
        self._queue = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    async def call(self, value: Value) -> Result:
        """Return the result of a value. Raises: BusyError, or the exception of the value."""
        return await self.submit(value)

    def submit(self, value: Value) -> "asyncio.Future[Result]":
        """Return the future of the result of a value. Raises: BusyError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        try:
            self._queue.put_nowait((value, future, loop))
        except queue.Full:
            raise BusyError from None
        return future

    def close(self) -> None:
        """Answer the waiting values and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        following = self._queue.get()
        while following is not None:
            batch, end = [following], time.monotonic() + self._wait_s
            while len(batch) < self._most:
                try:
                    following = self._queue.get(timeout=max(0.0, end - time.monotonic()))
                except queue.Empty:
                    break
                if following is None:
                    break
                batch.append(following)
            batch = [each for each in batch if not each[1].done()]  # others were answered without it, or gave up
            if batch:
                self._resolve(batch)
            if following is not None:
                following = self._queue.get()

    def _resolve(self, batch: "Sequence[tuple[Value, asyncio.Future[Result], asyncio.AbstractEventLoop]]") -> None:
        """Give the futures of a batch their results."""
        missing = dict(enumerate(batch))
        try:
            results = self._answer([value for value, _, _ in batch])
            for index, result in results if isinstance(results, Iterator) else enumerate(results):
                _, future, loop = missing.pop(index)
                _tell(loop, future, result)
            if missing:
                raise RuntimeError(f"{len(missing)} of {len(batch)} values of a batch got no result")
        except Exception as error:
            for _, future, loop in missing.values():
                _tell(loop, future, error)


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future, result: object) -> None:
    """Give a future its result in its event loop, unless this has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_resolve, future, result)


def _resolve(future: asyncio.Future, result: object) -> None:
    """Give a future its result, unless its caller has gone."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
