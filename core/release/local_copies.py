"""Local copies of releases from buckets: one folder for each digest of a manifest.

    <cache>/releases/<SHA-256 of the manifest>/<version>/   the files of the release

A copy is verified each time it is opened, fetched again if it is damaged, and locked against deletion while it is read.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core import files, locks, names
from core.caches import cache_folder
from core.errors import ReleaseError
from core.release import reader
from core.storage.storage import Expected, Storage

KEPT = 5  # the number of copies, those used last, that are kept


@contextlib.contextmanager
def opened(digest: str, version: str, trusted: Sequence[Path], fetch: Callable[[Path], None]) -> Iterator[Path]:
    """Yield the verified folder of the local copy of a release, which is fetched if it is missing or damaged.

    Args:
      digest: the SHA-256 of the content of the manifest.
      version: the version.
      trusted: as for `core.release.reader.manifest`.
      fetch: a function that downloads the release into a folder, replacing it.
    Raises:
      ReleaseError: the release is damaged or not signed with a trusted key; or as `fetch` raises.
    """
    root = cache_folder("releases")
    folder = root / digest / version
    with contextlib.ExitStack() as stack:
        if not _enter(stack, folder, digest, trusted):
            root.mkdir(parents=True, exist_ok=True)
            with locks.exclusive(root / f".{digest}.lock"):
                if not _enter(stack, folder, digest, trusted):  # another process may have fetched it in the meantime
                    for left in folder.parent.glob(".*"):
                        shutil.rmtree(left, ignore_errors=True)
                    fetch(folder)
                    stack.enter_context(reader.reading(folder.parent, version, trusted))
            _delete_unused(root, folder.parent)
        os.utime(folder.parent)
        yield folder


def download(storage: Storage, prefix: str, content: bytes, manifest: dict[str, Any], folder: Path) -> None:
    """Download the files of a release into a folder, with the sizes and digests of its manifest.

    Args:
      storage: the storage that holds it.
      prefix: the prefix of the release there.
      content: the content of the file of the manifest.
      manifest: the same, parsed and checked.
      folder: the folder; an existing one is replaced.
    Raises:
      ObjectMissingError, ObjectChangedError: a file is missing or damaged.
    """
    expected = {name: Expected(each["size"], each["sha256"]) for name, each in manifest["files"].items()}
    expected[names.MANIFEST_FILE] = Expected(len(content), hashlib.sha256(content).hexdigest())
    storage.download(prefix, folder, expected)


def _enter(stack: contextlib.ExitStack, folder: Path, digest: str, trusted: Sequence[Path]) -> bool:
    """Lock a copy until the stack is closed, and return whether it is complete and intact."""
    manifest = folder / names.MANIFEST_FILE
    try:
        if not manifest.is_file() or files.sha256(manifest) != digest:
            return False
        stack.enter_context(reader.reading(folder.parent, folder.name, trusted))
    except (ReleaseError, OSError):
        return False
    return True


def _delete_unused(root: Path, own: Path) -> None:
    """Delete all copies but those used last and those that a process reads."""
    used = {path: path.parent.stat().st_mtime_ns for path in root.glob("[0-9a-f]*/[0-9]*")}
    for path in sorted(used, key=lambda path: -used[path])[KEPT:]:
        with locks.try_exclusive(path) as locked:
            if locked and path.parent != own:
                shutil.rmtree(path, ignore_errors=True)
