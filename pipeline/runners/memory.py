"""The memory that new processes may use."""

from pathlib import Path

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
