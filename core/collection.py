"""Garbage collection, kept away from imports.

TensorFlow, Beam and TFX make millions of objects that live until the process ends. To look through them again and again
while they are being made takes a third of the time of their import.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Collect no garbage in the block; what is there at its end is not looked at again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
