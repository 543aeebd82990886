"""Repetition of requests that failed for a reason that passes, for a bounded time."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from core.errors import StorageError

Result = TypeVar("Result")
_FIRST, _LONGEST = 0.1, 5.0  # seconds between two attempts


def within(seconds: float, attempt: Callable[[], Result]) -> Result:
    """Return the result of `attempt`, which is repeated until `seconds` have passed since its first transient error.

    The pauses double from 0.1 s to 5 s and are drawn at random from the upper half of their length, so that several
    clients do not return at the same time.

    Raises:
      StorageError: the first error that is not transient; or the error of the last attempt, with their number.
    """
    begin, pause, attempts = None, _FIRST, 0
    while True:
        attempts += 1
        try:
            return attempt()
        except StorageError as error:
            if not error.transient:
                raise
            begin = time.monotonic() if begin is None else begin  # a long transfer may fail late
            passed = time.monotonic() - begin
            if passed + pause > seconds:
                raise type(error)(f"{error} (tried {attempts} times in {passed:.0f} s)") from error
        time.sleep(random.uniform(pause / 2, pause))
        pause = min(2 * pause, _LONGEST)
