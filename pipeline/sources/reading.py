"""The reading of a source by its client into one Parquet file of the cache, in a process of its own.

Clients of Google Cloud start threads of gRPC, which do not survive the fork by which nodes get their processes.
"""

import contextlib
import importlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from components.table_example_gen.sources import TableSource
from core import progress
from core.errors import StorageError, TwostepError
from pipeline.sources.cache import Cache
from pipeline.sources.settings import SourceSettings

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "table.parquet"
ROWS = 1 << 16  # rows of a row group, and so the bound of the memory
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
    found = {}
    with contextlib.ExitStack() as stack:
        caches = {table: _cache(source, root) for table, source in sources.items()}
        files = {table: stack.enter_context(cache.partial()) / FILE for table, cache in caches.items()}
        receiver = stack.enter_context(_reading([(each, root, files[table]) for table, each in sources.items()]))
        for table, source in sources.items():
            while not receiver.poll(_POLL):
                size = files[table].stat().st_size >> 20 if files[table].exists() else 0
                progress.report(f"reading {source.uri}: {size:,} MiB")
            try:
                answer = receiver.recv()
            except EOFError:
                raise StorageError(
                    f"{source.uri}: the process that read it was killed. Check the memory of this machine"
                ) from None
            if isinstance(answer, Exception):
                raise answer
            found[table] = caches[table].source({answer: source.uri})
    return found


@contextlib.contextmanager
def _reading(work: Sequence[tuple[SourceSettings, Path | None, Path]]) -> Iterator[Connection]:
    """Read sources one after the other in a process, which ends with the block; yield the pipe of its answers."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_read_all, args=(sender, work), daemon=True)
    with receiver:
        process.start()
        sender.close()  # so that the end of the process ends the pipe
        try:
            yield receiver
        finally:
            process.kill()
            process.join()


def _read_all(sender: Connection, work: Sequence[tuple[SourceSettings, Path | None, Path]]) -> None:
    """Send the file in the cache of each source, or the first error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends this process
    for source, root, file in work:
        try:
            sender.send(read(source, root, file))
        except TwostepError as error:
            sender.send(error)
            return
        except Exception as error:
            sender.send(StorageError(f"{source.uri}: could not be read: {type(error).__name__}: {error}"))
            return


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
    """Write batches to a Parquet file in row groups of `ROWS` rows, so that the same rows always make the same bytes.

    Args:
      batches: the rows in batches of any size; at least one batch.
      file: the new file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(batches)
    waiting = pa.Table.from_batches([first])
    with pq.ParquetWriter(file, first.schema) as writer:
        for batch in batches:
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
            while waiting.num_rows >= ROWS:
                writer.write_table(waiting.slice(0, ROWS).combine_chunks(), ROWS)
                waiting = waiting.slice(ROWS)
        writer.write_table(waiting.combine_chunks(), ROWS)


def _cache(source: SourceSettings, root: Path | None) -> Cache:
    return Cache(f"{source.uri} {source.canonical_json()}", root)
