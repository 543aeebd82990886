"""Progress reports of executors and trainers to an optional listener."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

# One listener per process and not per thread, since Beam calls executors from its own threads.
_listener: Callable[[str], None] | None = None
_label: contextvars.ContextVar[str] = contextvars.ContextVar("label", default="")  # one per thread


def report(text: str) -> None:
    """Report the current state in a few words: "epoch 3/20, loss 1.23", "40,000 rows"."""
    listener = _listener
    if listener is not None:
        listener(_label.get() + text)


@contextlib.contextmanager
def listening(callback: Callable[[str], None]) -> Iterator[None]:
    """Call `callback` with every report of the block, from any thread; restore the previous listener afterwards."""
    global _listener
    before, _listener = _listener, callback
    try:
        yield
    finally:
        _listener = before


@contextlib.contextmanager
def labelled(name: str) -> Iterator[None]:
    """Put `name` before the reports of this thread in the block, for work that several threads do side by side."""
    before = _label.set(f"{_label.get()}{name}: ")
    try:
        yield
    finally:
        _label.reset(before)
