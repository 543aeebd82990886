"""File locks, which the system releases when a process dies; and the deletion of folders that such a process left.

A folder named `.*.partial` is being filled or deleted by the process that holds the lock on it; without a lock on it,
the process has died.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_kept: set[int] = set()  # descriptors of locks that forked processes give up
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextlib.contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """Wait for an exclusive lock on a file, and hold it in the block. A missing file is created, and is not deleted."""
    with open(file, "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Wait for an exclusive lock on a folder, and hold it in the block, even if the folder is renamed."""
    with _opened(folder) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Hold a shared lock on a folder in the block, so that `try_exclusive` yields False for the folder.

    On a file system without locks, such as some network mounts, no lock is taken, and there is no error.

    Raises:
      FileNotFoundError: the folder does not exist, or was deleted before the lock was taken.
    """
    with _opened(folder) as handle:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
        if not os.path.samestat(os.fstat(handle), os.stat(folder)):
            raise FileNotFoundError(folder)
        yield


@contextlib.contextmanager
def try_exclusive(folder: Path) -> Iterator[bool]:
    """Yield whether a folder could be locked exclusively without waiting; if so, hold the lock until the block ends.

    Yields False, too, when the folder does not exist.
    """
    with contextlib.ExitStack() as stack:
        try:
            handle = stack.enter_context(_opened(folder))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The owner may delete the folder between open and flock; the lock is then on a deleted inode.
            locked = os.path.samestat(os.fstat(handle), os.stat(folder))
        except (BlockingIOError, FileNotFoundError):
            locked = False
        yield locked


def delete_abandoned(root: Path) -> None:
    """Delete the folders `.*.partial` in `root` that no process has locked."""
    for path in root.glob(".*.partial"):
        if path.is_symlink() or not path.is_dir():
            continue
        with try_exclusive(path) as locked:
            if locked:
                shutil.rmtree(path)


@contextlib.contextmanager
def kept_by_this_process(descriptor: int) -> Iterator[None]:
    """Let no process that is forked in the block keep a lock on `descriptor`.

    A lock belongs to all processes that have its descriptor open, and a forked process would hold it a little longer
    than this one if this one is killed.
    """
    _kept.add(descriptor)
    try:
        yield
    finally:
        _kept.discard(descriptor)


def _give_up() -> None:
    """Close, in a forked process, the descriptors of locks that it should not keep."""
    while _kept:
        os.close(_kept.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_give_up)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Yield a descriptor of a folder, closed when the block ends."""
    handle = os.open(folder, _FOLDER)
    try:
        yield handle
    finally:
        os.close(handle)
