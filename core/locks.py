"""Locks that the system frees when their holder dies, so that none is ever stale; and folders that are half there.

A folder named `.*.partial` is being filled or deleted by whoever holds the lock on it, or was left by a process that
died.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """One process at a time; the others wait. The file is made if missing, and stays."""
    with open(file, "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Hold a folder, under whatever name it gets meanwhile, against `using` and `unused`."""
    with _opened(folder) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def using(folder: Path) -> Iterator[None]:
    """Hold a folder against `unused`, together with others who use it.

    Where the file system knows no locks, as on the mount of a reader far off, there is none, and nobody is told.

    Raises:
      FileNotFoundError: it is not there, or no longer.
    """
    with _opened(folder) as handle:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
        if not os.path.samestat(os.fstat(handle), os.stat(folder)):
            raise FileNotFoundError(folder)
        yield


@contextlib.contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Whether nobody holds the folder; if so it is held until the block ends. False, too, where it is not there."""
    with contextlib.ExitStack() as held:
        try:
            handle = held.enter_context(_opened(folder))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its owner may have deleted it between the two lines above: then the lock is on a folder without a name.
            free = os.path.samestat(os.fstat(handle), os.stat(folder))
        except (BlockingIOError, FileNotFoundError):
            free = False
        yield free


def sweep(root: Path) -> None:
    """Delete the folders in `root` that are half there and nobody's."""
    for path in root.glob(".*.partial"):
        if path.is_symlink() or not path.is_dir():
            continue
        with unused(path) as free:
            if free:
                shutil.rmtree(path)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, _FOLDER)
    try:
        yield handle
    finally:
        os.close(handle)
