"""The files of tables that are not on this machine, kept by their content.

A place has a folder of its own. A file is kept as `files/KEY/DIGEST.SUFFIX`, and `index` holds the digest for a key and
its tag in the place. So a file never changes while a run reads it, and the same content has the same path whatever its
tag: the cache of TFX compares paths and content.
"""

import contextlib
import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from components.table_example_gen.sources import TableSource
from core import caches, files, locks
from core.storage import uris
from core.times import DAY

UNUSED_DAYS = 7  # after which an earlier version of a file is deleted


class Cache:
    """The kept files of a place.

    Args:
      place: the text that identifies the place.
      root: the folder of all places; that of the user by default.
    """

    def __init__(self, place: str, root: Path | None = None):
        self.folder = (root or caches.cache_folder("tables")) / hashlib.sha256(place.encode()).hexdigest()[:16]
        self.base = self.folder / "files"

    def find(self, key: str, tag: str) -> Path | None:
        """Return the file of a key whose content had this tag; None if it is not kept."""
        try:
            digest = self._entry(key, tag).read_text(encoding="ascii")
            file = self._path(key, digest)
            # The time of use, for `keep`. That of change stays, since a schedule compares it.
            os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))
        except FileNotFoundError:
            return None
        return file

    def keep(self, key: str, tag: str | None, file: Path) -> Path:
        """Move a complete file into the cache and return its path.

        Args:
          key: the key of the file.
          tag: the tag by which `find` returns it; None for content that has none.
          file: the file, in a folder of `partial`.
        """
        digest = files.sha256(file)
        target = self._path(key, digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file():
            os.replace(file, target)
        if tag is not None:
            with files.replacing(self._entry(key, tag)) as partial:
                partial.write_text(digest, encoding="ascii")
        for other in target.parent.iterdir():
            if other.is_file() and other != target and time.time() - other.stat().st_atime > UNUSED_DAYS * DAY:
                other.unlink(missing_ok=True)
        return target

    @contextlib.contextmanager
    def partial(self) -> Iterator[Path]:
        """Yield a temporary folder on the same file system; it is deleted after the block, or by a later call."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            with locks.exclusive(self.folder / "lock"):  # so that no new folder seems abandoned before it is locked
                locks.delete_abandoned(self.folder)
                folder = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=self.folder))
                held.enter_context(locks.exclusive_folder(folder))
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def source(
        self, kept: Mapping[Path, str], spans: tuple[str, ...] = (), span: int = 0, selected: tuple[str, ...] = ()
    ) -> TableSource:
        """Return kept files as the source of a table.

        Args:
          kept: file → the text that names it in messages and in the lineage.
          spans, span: as in `TableSource`.
          selected: `origin_patterns` of `TableSource`.
        """
        patterns = tuple(glob.escape(file.relative_to(self.base).as_posix()) for file in kept)
        return TableSource(str(self.base), patterns, spans, span, tuple(kept.values()), selected)

    def _path(self, key: str, digest: str) -> Path:
        return uris.confined(self.base, key) / f"{digest[:16]}{Path(key).suffix}"

    def _entry(self, key: str, tag: str) -> Path:
        return self.folder / "index" / hashlib.sha256(f"{key}\0{tag}".encode()).hexdigest()[:32]
