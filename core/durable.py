"""Files and folders that have reached the disk, so that a rename may show them; and what lies below a folder."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 20


def write_text(path: Path, text: str) -> None:
    """Write `text` and wait until the disk has it."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file's content, wait until the disk has it, and return the SHA-256 and size of what was copied."""
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
    """Make the names in a folder survive a power cut, as fsync of a file does for its content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folders(root: Path) -> None:
    """`sync_folder` of `root` and of every folder below it."""
    for folder, _, _ in os.walk(root):
        sync_folder(Path(folder))


def entries(root: Path) -> Iterator[tuple[str, Path]]:
    """Relative POSIX path and path of everything below `root` that is no folder; links are not followed."""
    for folder, below, here in os.walk(root, onerror=_raise):
        links = [name for name in below if Path(folder, name).is_symlink()]
        for name in sorted([*here, *links]):
            path = Path(folder, name)
            yield path.relative_to(root).as_posix(), path


def is_plain(path: Path) -> bool:
    """Whether `path` is a file, and not a link to one, a pipe or a device."""
    return stat.S_ISREG(path.lstat().st_mode)


def _raise(error: OSError) -> None:
    raise error  # os.walk would pass over a folder that it cannot read
