"""The reading of a source by its client into one Parquet file of the cache, in a process of its own.

Clients of Google Cloud start threads of gRPC, which do not survive the fork by which nodes get their processes.
"""

import importlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from components.table_example_gen.sources import TableSource
from core import progress
from core.errors import StorageError
from pipeline.sources.cache import Cache
from pipeline.sources.settings import SourceSettings

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "table.parquet"
ROWS = 1 << 17  # rows of a row group, and with _BYTES the bound of the memory
_BYTES = 1 << 26
_POLL = 2.0  # seconds between two reports of progress


@dataclass(frozen=True)
class Reading:
    """A source that is being read.

    Args:
      tag: the version of the content, if the source has one: the same tag means the same rows.
      batches: a function that yields the rows, with one schema; at least one batch, empty if there are no rows.
    """

    tag: str | None
    batches: "Callable[[], Iterator[pa.RecordBatch]]"


class Reader(Protocol):
    """What the module of a source has."""

    def check(self, source: SourceSettings) -> None:
        """Check that the source exists and may be read, without reading it. Raises: TwostepError."""

    def start(self, source: SourceSettings) -> Reading:
        """Return the source, ready to be read. Raises: TwostepError."""


def reader(source: SourceSettings) -> Reader:
    """Return the module that reads a source."""
    return cast(Reader, importlib.import_module(source.MODULE))


def fetch(sources: Mapping[str, SourceSettings], root: Path | None = None) -> dict[str, TableSource]:
    """Return table → its source as a Parquet file in the cache; one is read unless its version is in the cache.

    Args:
      sources: table → its source.
      root: the folder of the cache; that of the user by default.
    Raises:
      TwostepError: a source cannot be read.
    """
    if not sources:
        return {}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return {table: _fetch(source, root, pool) for table, source in sources.items()}


def _fetch(source: SourceSettings, root: Path | None, pool: ProcessPoolExecutor) -> TableSource:
    cache = _cache(source, root)
    with cache.partial() as folder:
        file = folder / FILE
        waiting = pool.submit(read, source, root, file)
        while True:
            try:
                return cache.source({waiting.result(_POLL): source.uri})
            except TimeoutError:
                size = file.stat().st_size >> 20 if file.exists() else 0
                progress.report(f"reading {source.uri}: {size:,} MiB")
            except BrokenProcessPool:
                raise StorageError(
                    f"{source.uri}: the process that read it was killed. Check the memory of this machine"
                ) from None


def read(source: SourceSettings, root: Path | None, file: Path) -> Path:
    """Read a source to a new file, and return the file in the cache; return that of an earlier reading if it is there.

    Raises:
      TwostepError: the source cannot be read.
    """
    cache = _cache(source, root)
    reading = reader(source).start(source)
    found = cache.find(FILE, reading.tag) if reading.tag is not None else None
    if found is None:
        write_parquet(reading.batches(), file)
        found = cache.keep(FILE, reading.tag, file)
    return found


def write_parquet(batches: "Iterator[pa.RecordBatch]", file: Path) -> None:
    """Write batches to a Parquet file in row groups of at most `ROWS` rows; small batches are gathered."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(batches)
    with pq.ParquetWriter(file, first.schema) as writer:
        waiting = [first]
        for batch in batches:
            waiting.append(batch)
            if sum(each.num_rows for each in waiting) >= ROWS or sum(each.nbytes for each in waiting) >= _BYTES:
                writer.write_table(pa.Table.from_batches(waiting), ROWS)
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting), ROWS)


def _cache(source: SourceSettings, root: Path | None) -> Cache:
    return Cache(f"{source.uri} {source.canonical_json()}", root)
