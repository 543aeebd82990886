"""The files of a table: those that its patterns match, their format by the first bytes, and their digest."""

import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core import files
from core.errors import DataError
from core.storage import uris
from core.storage.storage import open_storage

# The first bytes of other formats. Each has a byte that is not a letter, since a CSV file may begin with any letters.
_MAGIC = {
    rb"PAR1[\x00-\x1f]": "Parquet",
    rb"\x1f\x8b": "gzip",
    rb"PK\x03\x04": "a zip archive or an Excel workbook",
    rb"\xd0\xcf\x11\xe0": "an old Excel workbook",
    rb"\x28\xb5\x2f\xfd": "zstandard",
    rb"BZh[1-9]1AY&SY": "bzip2",
    rb"\xfd7zXZ\x00": "xz",
    rb"ORC[\x00-\x1f]": "ORC",
    rb"ARROW1\x00": "Arrow",
    rb"SQLite format 3\x00": "an SQLite database",
    rb"\x89HDF": "HDF5",
    rb"version https://git-lfs": "a Git LFS pointer and not the file itself",
    rb"(\xef\xbb\xbf)?\s*(?i:<!doctype|<html|<\?xml)": "HTML or XML",
}


@dataclass(frozen=True)
class TableSource:
    """The files of a table.

    Args:
      base: the folder or URI that the patterns are relative to.
      patterns: globs below `base`, one per selected span; a single one if the path marks no span. Below a URI, keys.
      spans: the selected spans as in the file names, oldest first.
      span: the number of the newest span, as TFX counts spans; 0 if the path marks none.
      origins: where the file of each pattern was copied from, such as a URI; empty if the files are no copies. Each
        pattern is then one file.
      origin_patterns: the globs that selected the origins, one per selected span; empty if the files are no copies.
    """

    base: str
    patterns: tuple[str, ...]
    spans: tuple[str, ...] = ()
    span: int = 0
    origins: tuple[str, ...] = ()
    origin_patterns: tuple[str, ...] = ()

    @property
    def delivered(self) -> tuple[str, ...]:
        """Return the globs of the selected spans where the table was delivered, which do not depend on content."""
        return self.origin_patterns or self.patterns

    def named(self, text: str) -> str:
        """Return a text with the origins of the files in place of their paths."""
        for pattern, origin in zip(self.patterns, self.origins, strict=bool(self.origins)):
            for path in self._matching(pattern):
                text = text.replace(path, origin)
        return text

    def files(self) -> list[str]:
        """Return the files of all patterns, sorted.

        Raises:
          DataError: a pattern matches no file.
        """
        matched = []
        for pattern in self.patterns:
            paths = self._matching(pattern)
            if not paths or (uris.is_uri(self.base) and not open_storage(self.base).exists(pattern)):
                todo = "Put the table there, or correct its `path` or `data.root` in the configuration"
                raise DataError(self.base, "the folder", f"no file matches {pattern!r}", todo)
            matched += paths
        return sorted(set(matched))

    def _matching(self, pattern: str) -> list[str]:
        return [uris.joined(self.base, pattern)] if uris.is_uri(self.base) else matching(self.base, pattern)


def matching(base: str | Path, pattern: str) -> list[str]:
    """Return the paths below `base` that match a glob, sorted.

    Hidden files, and files and folders whose names begin with `_` (Spark's `_SUCCESS` and `_temporary`), are excluded
    unless the pattern names them.
    """
    hidden = any(part.startswith("_") for part in pattern.split("/"))
    relative = glob.glob(pattern, root_dir=base, recursive=True)
    return sorted(
        os.path.join(base, each)
        for each in relative
        if hidden or not any(part.startswith("_") for part in each.split("/"))
    )


def require_file(file: str | Path, path: str | None = None) -> None:
    """Check that `file` is a regular file with content. It is opened only then, since opening a FIFO would block.

    Args:
      file: the file.
      path: the path or URI that names it in errors; that of the file by default.
    Raises:
      DataError: it is not a regular file with content.
    """
    path = path or str(file)
    try:
        status = os.stat(file)
    except OSError as error:
        todo = "Check the path and its permissions"
        raise DataError(path, "the file", f"cannot be opened: {error.strerror}", todo) from None
    if stat.S_ISDIR(status.st_mode):
        raise DataError(path, "the file", "is a folder", folder_todo(path))
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for name, test in _KINDS.items() if test(status.st_mode)), "a special file")
        raise DataError(path, "the file", f"is {kind}, not a regular file", "Put a file with the table there")
    if status.st_size == 0:
        raise DataError(path, "the file", "is empty (0 bytes)", "Deliver it again, or remove it")
    try:
        with open(file, "rb"):
            pass
    except OSError as error:
        todo = "Check its permissions"
        raise DataError(path, "the file", f"cannot be opened: {error.strerror}", todo) from None


_KINDS = {
    "a FIFO": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a character device": stat.S_ISCHR,
    "a block device": stat.S_ISBLK,
}


def folder_todo(path: str) -> str:
    """Return the advice for a folder where a file is expected, such as the folder of part files that Spark writes."""
    suffix = Path(path).suffix or ".parquet"
    pattern = f"{Path(path).name}/*{suffix}"
    return f"If it holds the part files of the table, as Spark writes them, let the table's `path` end in `{pattern}`"


def looks_like(path: str | Path) -> str | None:
    """Return the format of a file by its first bytes; `text` for text, None for an unknown format."""
    with open(path, "rb") as file:
        head = file.read(512)
    for magic, name in _MAGIC.items():
        if re.match(magic, head):
            return name
    # The last character may be truncated.
    return None if b"\0" in head or "\ufffd" in head.decode(errors="replace")[:-1] else "text"


def fingerprint(base: str, paths: Iterable[str]) -> str:
    """Return a digest of the files' names below `base` and of their content, which TFX's own fingerprint ignores.

    Raises:
      DataError: a file is missing, empty, not a regular file, or cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        require_file(path)
        digest.update(f"{os.path.relpath(path, base)}\0{files.sha256(path)}\n".encode())
    return f"sha256:{digest.hexdigest()}"
