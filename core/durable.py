"""Writes that reach the disk before they return, so that a later rename is durable; and the listing of a folder."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 20


def write_text(path: Path, text: str) -> None:
    """Write `text` to a file and sync it to disk."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy the content of a file, sync it to disk, and return its SHA-256 and size in bytes."""
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as reader, open(target, "xb") as writer:
        while chunk := reader.read(_CHUNK):
            writer.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest(), size


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder to disk, as fsync does for the content of a file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folders(root: Path) -> None:
    """Sync `root` and every folder below it to disk."""
    for folder, _, _ in os.walk(root):
        sync_folder(Path(folder))


def entries(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (relative POSIX path, path) of each file below `root`; links are included and not followed."""
    for folder, below, here in os.walk(root, onerror=_raise):
        links = [name for name in below if Path(folder, name).is_symlink()]
        for name in sorted([*here, *links]):
            path = Path(folder, name)
            yield path.relative_to(root).as_posix(), path


def is_plain(path: Path) -> bool:
    """Return whether `path` is a regular file, and not a link, a pipe or a device."""
    return stat.S_ISREG(path.lstat().st_mode)


def _raise(error: OSError) -> None:
    """Raise `error`, so that os.walk does not skip a folder that it cannot read."""
    raise error
