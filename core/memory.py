"""How the C library of this process keeps freed memory."""

import contextlib
import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt, in <malloc.h>
KEPT = 512 << 20  # the free bytes at the end of the heap that are not returned to the system
OWN_MAPPING = 32 << 20  # the size from which a block is mapped by itself, and returned when it is freed


def keep_freed() -> None:
    """Let the process use freed blocks again, which glibc would return to the system.

    A training step allocates and frees hundreds of blocks of about half a megabyte. By default each of them is mapped
    and unmapped, and its pages are cleared by the kernel again and again: a fifth of the time of a step. Another C
    library than glibc is left as it is. The setting holds until the process ends.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, OWN_MAPPING)
        mallopt(_TRIM_THRESHOLD, KEPT)
