"""How an executor or a trainer says what it is doing. Nobody need listen; saying it costs nothing."""

import contextlib
from collections.abc import Callable, Iterator

# One listener for the whole process, not one for each thread: Beam calls executors' code from threads of its own.
_listener: Callable[[str], None] | None = None


def report(text: str) -> None:
    """Say what is being done, in a few words with a figure: "epoch 3/20, loss 1.23", "40,000 rows"."""
    listener = _listener
    if listener is not None:
        listener(text)


@contextlib.contextmanager
def listening(callback: Callable[[str], None]) -> Iterator[None]:
    """Hand every report of the block to `callback`, from whichever thread; afterwards to who listened before."""
    global _listener
    before, _listener = _listener, callback
    try:
        yield
    finally:
        _listener = before
