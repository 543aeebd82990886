"""All tables of a configuration, wherever they come from: a listing without content, and the files of their content.

A location is the path of files below the folder or URI of the tables, or the settings of another source.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.table_example_gen.sources import TableSource, matching
from core.storage import uris
from core.storage.storage import open_storage
from pipeline.config import spans
from pipeline.config.data import Location, Spans
from pipeline.sources import objects, reading


@dataclass(frozen=True)
class Listing:
    """What a table would be read from.

    Args:
      files: the paths or URIs of its files; the URI of another source.
      spans: the selected spans, oldest first.
    """

    files: tuple[str, ...]
    spans: tuple[str, ...] = ()


def listed(locations: Mapping[str, Location], selected: Spans, root: str | Path) -> dict[str, Listing]:
    """Return table → what it would be read from; no content is read, but other sources are checked.

    Args:
      locations: table → where it comes from.
      selected: the configured spans.
      root: the folder or URI that paths are relative to.
    Raises:
      UsageError: as `pipeline.config.spans.choose`.
      TwostepError: a bucket or another source does not exist or may not be read.
    """
    paths = {table: each for table, each in locations.items() if isinstance(each, str)}
    found: dict[str, Listing] = {}
    if uris.is_uri(root) and paths:
        for table, each in objects.choose(str(root), paths, selected).items():
            found[table] = Listing(tuple(f"{each.place}/{stored.key}" for stored in each.objects), each.spans)
    else:
        for table, source in spans.choose(paths, selected, str(root), matching).items():
            files = [file for pattern in source.patterns for file in matching(source.base, pattern)]
            found[table] = Listing(tuple(files), source.spans)
    for table, other in locations.items():
        if not isinstance(other, str):
            reading.reader(other).check(other)
            found[table] = Listing((other.uri,))
    return {table: found[table] for table in locations}


def fingerprints(locations: Mapping[str, Location], selected: Spans, root: str | Path) -> dict[str, str]:
    """Return table → a digest of the names and tags of its files, which changes if one of them does.

    No content is read. Only tables that are files in a bucket have a fingerprint.

    Args:
      locations, selected, root: as for `listed`.
    Raises:
      UsageError: as `pipeline.config.spans.choose`.
      TwostepError: a bucket does not exist or may not be read.
    """
    paths = {table: each for table, each in locations.items() if isinstance(each, str)}
    if not uris.is_uri(root) or not paths:
        return {}
    return {table: each.fingerprint for table, each in objects.choose(str(root), paths, selected).items()}


def fetched(
    locations: Mapping[str, Location],
    selected: Spans,
    root: str | Path,
    wanted: Collection[str] | None = None,
    cache: Path | None = None,
) -> dict[str, TableSource]:
    """Return table → its files; those that are not on this machine are read into the cache.

    Args:
      locations, selected, root: as for `listed`.
      wanted: the tables that are returned; all by default. The spans are those of all tables.
      cache: the folder of the cache; that of the user by default.
    Raises:
      UsageError: as `pipeline.config.spans.choose`.
      TwostepError: a file or another source cannot be read.
    """
    paths = {table: each for table, each in locations.items() if isinstance(each, str)}
    wanted = locations.keys() if wanted is None else wanted
    found: dict[str, TableSource] = {}
    if uris.is_uri(root) and paths:
        chosen = objects.choose(str(root), paths, selected)
        found = {table: objects.fetch(each, cache) for table, each in chosen.items() if table in wanted}
    else:
        found = spans.choose(paths, selected, str(root), matching)
    found |= reading.fetch(
        {table: each for table, each in locations.items() if not isinstance(each, str) and table in wanted}, cache
    )
    return {table: found[table] for table in locations if table in wanted}


@contextmanager
def shared(
    table: str, locations: Mapping[str, Location], selected: Spans, root: str | Path, place: str, cache: Path
) -> Iterator[TableSource]:
    """Yield the files of a table as URIs, which machines read that have no folder in common with this one.

    Objects in a bucket are read where they are; other files are copied to `place` for the block.

    Args:
      table: the table.
      locations, selected, root, cache: as for `fetched`.
      place: a URI without objects.
    Raises:
      UsageError, TwostepError: as `fetched`.
      ObjectChangedError: an object was replaced or deleted during the block.
    """
    location = locations[table]
    if uris.is_uri(root) and isinstance(location, str):
        paths = {name: each for name, each in locations.items() if isinstance(each, str)}
        chosen = objects.choose(str(root), paths, selected)[table]
        yield objects.in_place(chosen)
        objects.check_unchanged(chosen)
        return
    source = fetched(locations, selected, root, [table], cache)[table]
    storage, copied = open_storage(place), dict[str, str]()
    for pattern, origin in zip(source.patterns, source.origins or [None] * len(source.patterns), strict=True):
        for file in matching(source.base, pattern):
            name = f"{len(copied):05d}/{Path(file).name}"
            storage.upload(Path(file), name)
            copied[name] = origin or file
    if not copied:
        yield source  # its reader reports that no file matches
        return
    try:
        yield TableSource(place, tuple(copied), source.spans, source.span, tuple(copied.values()))
    finally:
        storage.delete(copied)
