"""The memory that is available, and how the C library of this process keeps freed memory."""

import contextlib
import ctypes
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt, in <malloc.h>
KEPT = 512 << 20  # the free bytes at the end of the heap that are not returned to the system
OWN_MAPPING = 32 << 20  # the size from which a block is mapped by itself, and returned when it is freed
_CGROUP = Path("/sys/fs/cgroup")


def available() -> int:
    """Return the bytes of memory that are available on this machine, within the limit of this container."""
    found = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
    [machine] = [int(words[1]) * 1024 for words in found if words[0] == "MemAvailable:"]
    try:
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        used -= int(statistics.get("file", 0))  # the kernel's copies of files, which it drops if memory is short
    except (OSError, ValueError):  # no container, or one without a limit
        return machine
    return min(machine, max(0, limit - used))


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
