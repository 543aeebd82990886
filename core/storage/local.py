"""Requests to a folder of this machine's file system, with the same conditions as a store of objects."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from core import durable, files, locks
from core.storage import errors
from core.storage.driver import Stored
from core.storage.uris import confined


class Local:
    """See `core.storage.driver.Driver`. A tag is made of a file's inode, size and time of change.

    Args:
      root: the folder that keys are relative to.
    """

    def __init__(self, root: Path):
        self.root = root

    def get(self, key: str) -> tuple[bytes, str]:
        """Return the content of a file and its tag."""
        with self._explained(key), open(confined(self.root, key), "rb") as file:
            return file.read(), _tag(os.fstat(file.fileno()))

    def put(self, key: str, data: bytes, replaces: str | None) -> str:
        """Write a file whose tag is `replaces`, or which does not exist for None; return its new tag."""
        path = confined(self.root, key)
        with self._explained(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            with locks.exclusive(path.with_name(f".{path.name}.lock")), files.replacing(path) as partial:
                if (_tag(path.stat()) if path.exists() else None) != replaces:
                    raise errors.ConflictError(f"{path}: was changed by another writer in the meantime. Read it again")
                partial.write_bytes(data)
                return _tag(partial.stat())

    def send(self, source: Path, key: str) -> None:
        """Copy a file to the place of a key."""
        with self._explained(key), files.replacing(confined(self.root, key)) as partial:
            shutil.copyfile(source, partial)

    def fetch(self, key: str, target: Path, tag: str | None) -> None:
        """Copy the file of a key to a new file."""
        with self._explained(key), open(confined(self.root, key), "rb") as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            if tag is not None and _tag(os.fstat(source.fileno())) != tag:
                raise errors.ObjectChangedError(f"{source.name}: was changed while it was read. Read it again")

    def stat(self, key: str) -> Stored:
        """Return the facts about a file."""
        path = confined(self.root, key)
        with self._explained(key):
            if path.is_dir():
                raise IsADirectoryError(path)
            return _stored(key, path)

    def entries(self, prefix: str) -> Iterator[Stored]:
        """Yield the files below a folder; none if it does not exist. Hidden locks and partial files are left out."""
        folder = confined(self.root, prefix) if prefix else self.root
        with self._explained(prefix):
            for name, path in sorted(durable.entries(folder)) if folder.is_dir() else ():
                if durable.is_plain(path) and not (path.name.startswith(".") and path.suffix in (".lock", ".partial")):
                    yield _stored(f"{prefix}/{name}" if prefix else name, path)

    def delete(self, key: str) -> None:
        """Delete a file; do nothing if there is none."""
        with self._explained(key):
            confined(self.root, key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Turn the errors of a missing file and of permissions into StorageErrors."""
        place = self.root / key
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise errors.ObjectMissingError(f"{place}: there is no such file. Correct the path") from None
        except PermissionError as error:
            raise errors.DeniedError(f"{place}: {error.strerror}. Correct its permissions") from None


def _tag(stat: os.stat_result) -> str:
    return f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"


def _stored(key: str, path: Path) -> Stored:
    stat = path.stat()
    return Stored(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC), _tag(stat))
