"""Single files at a place, for steps that run on another machine: read and written as local files.

A file at a local path is used itself. One at `s3://…` or `gs://…` is downloaded before it is read, and uploaded when it
is complete, with the credentials and the endpoint in the environment of the process.
"""

import contextlib
import fnmatch
import os
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core import files
from core.storage import uris
from core.storage.storage import Expected, open_storage


@contextlib.contextmanager
def reading(place: str | Path) -> Iterator[Path]:
    """Yield a local file with the content of the file at `place`; a copy is deleted after the block.

    Raises:
      StorageError: the object is missing or cannot be read.
    """
    with reading_all([str(place)]) as [file]:
        yield Path(file)


@contextlib.contextmanager
def reading_all(places: Sequence[str]) -> Iterator[list[str]]:
    """Yield the local files of several places, in their order; see `reading`."""
    with contextlib.ExitStack() as stack:
        local = {place: place for place in places if not uris.is_uri(place)}
        for folder in {posixpath.dirname(place) for place in places if place not in local}:
            copies = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twostep-"))) / "files"
            storage = open_storage(folder)
            names = [posixpath.basename(place) for place in places if posixpath.dirname(place) == folder]
            known = {each.key: each.size for each in storage.entries()} if len(names) > 1 else {}
            sizes = {name: known[name] if name in known else storage.stat(name).size for name in names}
            storage.download("", copies, {name: Expected(size) for name, size in sizes.items()})
            local |= {f"{folder}/{name}": str(copies / name) for name in names}
        yield [local[place] for place in places]


@contextlib.contextmanager
def writing(place: str | Path) -> Iterator[Path]:
    """Yield a local path for the content of the file at `place`, which appears as a whole after the block.

    If the block fails, nothing is written. An existing file is replaced.

    Raises:
      StorageError: the object cannot be written.
    """
    if not uris.is_uri(place):
        with files.replacing(place) as partial:
            yield partial
        return
    folder, name = posixpath.split(str(place))
    with tempfile.TemporaryDirectory(prefix="twostep-") as temporary:
        file = Path(temporary, name)
        yield file
        open_storage(folder).upload(file, name)


def listed(folder: str | Path, pattern: str = "*") -> list[str]:
    """Return the places of the files in a folder whose names match a glob, sorted; hidden ones are left out."""
    if uris.is_uri(folder):
        found = [each.key for each in open_storage(folder).entries() if "/" not in each.key]
    else:
        found = [each.name for each in os.scandir(folder) if each.is_file()] if Path(folder).is_dir() else []
    names = [name for name in found if fnmatch.fnmatchcase(name, pattern) and not name.startswith(".")]
    return [uris.joined(folder, name) for name in sorted(names)]


def size(place: str) -> int:
    """Return the size of a file in bytes."""
    if not uris.is_uri(place):
        return os.path.getsize(place)
    folder, name = posixpath.split(place)
    return open_storage(folder).stat(name).size


def delete(places: Sequence[str]) -> None:
    """Delete files; missing ones are ignored."""
    for folder in {posixpath.dirname(place) for place in places}:
        names = [posixpath.basename(place) for place in places if posixpath.dirname(place) == folder]
        open_storage(folder).delete(names)


def write_json(place: str, value: Any) -> None:
    """Write `value` as indented JSON; see `writing`."""
    with writing(place) as file:
        files.write_json(file, value)


def read_json(place: str) -> Any:
    """Return the value of a JSON file."""
    with reading(place) as file:
        return files.read_json(file)
