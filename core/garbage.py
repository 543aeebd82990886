"""Garbage collection during imports.

TensorFlow, Beam and TFX create millions of objects that live until the process ends. Collections during their import
take a third of its time.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Disable garbage collection in the block, and exclude the objects that exist at its end from later collections."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
