"""Tables as files in a bucket: chosen from a listing, downloaded to the cache by their tags."""

import hashlib
import itertools
import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from components.table_example_gen.sources import TableSource, matching
from core.errors import StorageError, UsageError
from core.storage import errors, uris
from core.storage.driver import Stored
from core.storage.storage import Expected, Storage, open_storage
from pipeline.config import spans
from pipeline.config.data import Spans
from pipeline.sources.cache import Cache

_MARKED = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class Chosen:
    """The objects of a table.

    Args:
      place: the URI that their keys are relative to.
      path: the configured path of the table.
      objects: the objects, sorted by key; empty if none matches.
      spans, span: as in `TableSource`.
      patterns: the globs of the objects, one per selected span.
    """

    place: str
    path: str
    objects: tuple[Stored, ...]
    spans: tuple[str, ...] = ()
    span: int = 0
    patterns: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Return a digest of the keys and tags of the objects."""
        lines = "".join(f"{each.key}\0{each.size}\0{each.tag}\n" for each in self.objects)
        return hashlib.sha256(f"{self.place}\n{lines}".encode()).hexdigest()


def choose(place: str, paths: Mapping[str, str], selected: Spans) -> dict[str, Chosen]:
    """Return table → the objects that its path matches, from listings alone.

    Args:
      place: the URI that the paths are relative to.
      paths: table → its configured path.
      selected: the configured spans.
    Raises:
      UsageError: as `pipeline.config.spans.choose`.
      StorageError: the bucket cannot be listed.
    """
    storage = open_storage(place)
    stored = {each.key: each for path in paths.values() for each in _listed(storage, path)}
    with tempfile.TemporaryDirectory(prefix="twostep-") as folder:
        for key in stored:  # empty files, so that a path matches in a bucket what it matches in a folder
            file = uris.confined(Path(folder), key)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise StorageError(
                    f"{uris.joined(place, key)}: is an object and the prefix of another one. Rename one of them"
                ) from None
        try:
            sources = spans.choose(paths, selected, folder, matching)
        except UsageError as error:
            raise UsageError(str(error).replace(folder, place)) from None
        found = {
            table: sorted({str(Path(file).relative_to(folder)) for each in source.patterns for file in
                           matching(folder, each) if Path(file).is_file()})
            for table, source in sources.items()
        }  # fmt: skip
    return {
        table: Chosen(
            place, paths[table], tuple(stored[key] for key in found[table]), source.spans, source.span, source.patterns
        )
        for table, source in sources.items()
    }


def fetch(chosen: Chosen, root: Path | None = None) -> TableSource:
    """Return the objects of a table as local files; those that are not in the cache are downloaded.

    Args:
      chosen: the objects.
      root: the folder of the cache; that of the user by default.
    Raises:
      ObjectChangedError: an object was replaced while it was read.
      StorageError: an object could not be read.
    """
    cache = Cache(chosen.place, root)
    if not chosen.objects:  # whoever reads this source reports that no file matches
        return TableSource(chosen.place, (chosen.path,), chosen.spans, chosen.span)
    lacking = {each.key: each for each in chosen.objects if cache.find(each.key, each.tag) is None}
    kept = {}
    if lacking:
        storage = open_storage(chosen.place)
        with cache.partial() as folder:
            storage.download("", folder / "new", {key: Expected(each.size) for key, each in lacking.items()})
            check_unchanged(chosen, lacking)
            for key, each in lacking.items():
                kept[key] = cache.keep(key, each.tag, uris.confined(folder / "new", key))
    for each in chosen.objects:
        if each.key not in kept:
            file = cache.find(each.key, each.tag)
            if file is None:
                raise StorageError(f"{cache.folder}: a file was deleted from this cache meanwhile. Run again")
            kept[each.key] = file
    names = {kept[each.key]: uris.joined(chosen.place, each.key) for each in chosen.objects}
    return cache.source(names, chosen.spans, chosen.span, chosen.patterns)


def in_place(chosen: Chosen) -> TableSource:
    """Return the objects of a table as they are in the bucket, without a copy on this machine."""
    keys = tuple(each.key for each in chosen.objects) or (chosen.path,)
    return TableSource(chosen.place, keys, chosen.spans, chosen.span)


def check_unchanged(chosen: Chosen, keys: Collection[str] | None = None) -> None:
    """Check that objects of a table, by default all, are still those that were chosen. Raises: ObjectChangedError."""
    now = {each.key: each.tag for each in _listed(open_storage(chosen.place), chosen.path)}
    for each in chosen.objects:
        if (keys is None or each.key in keys) and now.get(each.key) != each.tag:
            raise errors.ObjectChangedError(
                f"{uris.joined(chosen.place, each.key)}: should stay the same while it is read; found that it was "
                "replaced or deleted meanwhile. Run again when its writer has finished"
            )


def _listed(storage: Storage, path: str) -> list[Stored]:
    """Return the objects below the part of a path that has no marks; the object itself if the path has none."""
    parts = PurePosixPath(path).parts
    fixed = list(itertools.takewhile(lambda part: not _MARKED.search(part), parts))
    if len(fixed) < len(parts):
        return storage.entries("/".join(fixed))
    try:
        return [storage.stat("/".join(parts))]
    except errors.ObjectMissingError:
        return []
