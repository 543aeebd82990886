"""A file of a table, of any format: its columns, its rows in batches, and the positions of rows for errors."""

import contextlib
import csv
import itertools
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from components.table_example_gen.sources import looks_like, require_file
from core.errors import DataError
from core.storage import shard_files

_BLOCK = 1 << 23  # bytes of CSV parsed at once, and so the maximum length of a record
_ROWS = 1 << 16  # rows of Parquet read at once


class TableFile(ABC):
    """One file of a table.

    Rows are numbered from 0, including rows that cannot be read.

    Args:
      path: the path or URI, which names the file in errors.
      local: the file to read.
    """

    def __init__(self, path: str, local: Path):
        self.path, self.local = path, local
        self.columns: list[str] = []

    @abstractmethod
    def batches(self, columns: list[str]) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
        """Yield the row numbers and the given columns, batch by batch, with the names and types in the file."""

    @abstractmethod
    def rows(self) -> int:
        """Return the number of rows, which is known after `batches` was consumed."""

    @abstractmethod
    def places(self, rows: list[int]) -> list[str]:
        """Return the position of each of these rows as text, such as `line 7`."""

    def malformed(self) -> list[tuple[int, str]]:
        """Return the rows that could not be split into fields, with their faults, after `batches` was consumed."""
        return []

    def error(self, place: str, found: str, todo: str) -> DataError:
        return DataError(self.path, place, found, todo)


@contextlib.contextmanager
def opened(path: str, separator: str) -> Iterator[TableFile]:
    """Yield a file at a path or a URI, in the format of its extension.

    Raises:
      DataError: the file is missing, empty, damaged, or has an unknown extension.
      StorageError: the object of a URI cannot be read.
    """
    with shard_files.reading(path) as local:
        yield _open(path, local, separator)


def _open(path: str, local: Path, separator: str) -> TableFile:
    """Return the file `local`, which errors name `path`. Raises: DataError."""
    kind = {".csv": CsvFile, ".tsv": CsvFile, ".txt": CsvFile, ".parquet": ParquetFile}.get(Path(path).suffix)
    if kind is None:
        known = ".csv, .tsv, .txt or .parquet"
        raise DataError(path, "its name", f"ends in {Path(path).suffix!r}", f"Use a file that ends in {known}")
    require_file(local, path)
    found = looks_like(local)
    if kind is ParquetFile and found not in ("Parquet", None):
        found = "text, such as CSV" if found == "text" else found
        raise DataError(
            path, "the file", f"looks like {found}, not Parquet", f"Give it the matching extension, or {_EXPORT}"
        )
    if kind is CsvFile and found not in ("text", None):
        todo = f"Unpack it or give it the matching extension, or {_EXPORT}"
        raise DataError(path, "the file", f"looks like {found}, not CSV", todo)
    return CsvFile(path, local, separator) if kind is CsvFile else ParquetFile(path, local)


_EXPORT = "export the table again"


class ParquetFile(TableFile):
    """A Parquet file, read row group by row group."""

    def __init__(self, path: str, local: Path):
        super().__init__(path, local)
        with self._explained():
            self._file = pa.parquet.ParquetFile(local)
        self.columns = list(self._file.schema_arrow.names)

    def batches(self, columns: list[str]) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
        start = 0
        with self._explained():
            for batch in self._file.iter_batches(batch_size=_ROWS, columns=columns):
                yield np.arange(start, start + batch.num_rows), batch
                start += batch.num_rows

    def rows(self) -> int:
        return self._file.metadata.num_rows

    def places(self, rows: list[int]) -> list[str]:
        return [f"row {row + 1}" for row in rows]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except pa.ArrowNotImplementedError as error:
            found = f"holds columns that cannot be read ({str(error).strip().splitlines()[0].rstrip('.')})"
            raise self.error("the file", found, "Write lists as variable-size lists, and export it again") from error
        except (pa.ArrowException, OSError) as error:
            found = f"is not a complete Parquet file ({str(error).strip().splitlines()[0].rstrip('.')})"
            todo = "It may be truncated or of another format: copy or export it again"
            raise self.error("the file", found, todo) from error


class CsvFile(TableFile):
    """A CSV file, read in blocks. Fields are read as bytes, since an invalid value would otherwise stop the reading."""

    def __init__(self, path: str, local: Path, separator: str):
        super().__init__(path, local)
        self.separator = separator
        self.first_line = ""
        self._malformed: dict[int, int] = {}  # row -> its number of fields
        self._read = 0
        self._check_whole()
        with contextlib.closing(self._records()) as records:
            _, self.columns, self.first_line = next(records, (1, [], ""))
        if not self.columns:
            raise self.error("the file", "has only blank lines", "Deliver it again, or remove it")

    def batches(self, columns: list[str]) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
        self._malformed, self._read = {}, 0
        reader = self._reader(columns)
        while reader is not None:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except pa.ArrowInvalid as error:
                todo = "Check the quotes around its fields, or remove the text after the closing quote"
                raise self.error("the file", f"cannot be split into rows ({error})", todo) from error
            numbers = np.arange(self._read, self._read + batch.num_rows)
            self._read += batch.num_rows
            yield self._among_malformed(numbers), batch

    def _reader(self, columns: list[str]) -> pa.csv.CSVStreamingReader | None:
        def skip(row: pa.csv.InvalidRow) -> str:
            self._malformed[row.number - 2] = row.actual_columns  # the parser counts from 1, the header too
            return "skip"

        try:
            return pa.csv.open_csv(
                self.local,
                pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK),
                pa.csv.ParseOptions(delimiter=self.separator, newlines_in_values=True, invalid_row_handler=skip),
                pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.binary()), include_columns=columns, strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid as error:
            if "cannot infer number of columns" in str(error):  # a header without an end of line
                return None
            raise self.error("the file", f"cannot be split into rows ({error})", "Check its quotes") from error

    def _among_malformed(self, numbers: np.ndarray) -> np.ndarray:
        """Convert row numbers that count valid rows only to row numbers that count malformed rows too."""
        if not self._malformed:
            return numbers
        skipped = np.sort(np.fromiter(self._malformed, np.int64))
        return numbers + np.searchsorted(skipped - np.arange(len(skipped)), numbers, side="right")

    def rows(self) -> int:
        return self._read + len(self._malformed)

    def malformed(self) -> list[tuple[int, str]]:
        header = len(self.columns)
        return [
            (row, f"{fields} fields where the header has {header}") for row, fields in sorted(self._malformed.items())
        ]

    def places(self, rows: list[int]) -> list[str]:
        """Return the line of each of these rows as text for an error; the file is read again to find them."""
        if not rows:
            return []
        wanted = set(rows)
        with contextlib.closing(self._records()) as records:
            upto = itertools.islice(enumerate(records, start=-1), max(rows) + 2)
            lines = {row: line for row, (line, _, _) in upto if row in wanted}
        return [f"line {lines[row]}" for row in rows]

    def _check_whole(self) -> None:
        """Raise DataError for UTF-16, and for an unclosed quote, which makes the rest of the file a single field."""
        quotes = 0
        with open(self.local, "rb") as file:
            head = file.read(4)
            if head.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise self.error("the file", "is UTF-16 text", "Save it as UTF-8")
            file.seek(0)
            while block := file.read(1 << 20):
                quotes += block.count(b'"')
        if quotes % 2:
            line = self._unclosed_quote()
            if line:
                todo = "The file may be truncated: deliver it again, or close the quote"
                raise self.error(f"line {line}", "a quote is never closed", todo)

    def _unclosed_quote(self) -> int | None:
        """Return the line of a record whose quote is not closed, if there is one."""
        end = "\0"
        line, fields = 1, [end]
        with contextlib.closing(self._records(end)) as records:
            for line, fields, _ in records:  # noqa: B007
                pass
        return None if fields == [end] else line

    def _records(self, end: str = "") -> Generator[tuple[int, list[str], str], None, None]:
        """Yield (number of the first line, fields, text of the first line) of each record that is not blank.

        Args:
          end: a last line that is appended to the file, so that an unclosed quote can be recognised; empty for none.
        """
        with open(self.local, encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
            lines = _Lines(itertools.chain(file, ["\n", end] if end else []))
            reader = csv.reader(lines, delimiter=self.separator)
            begin = 1
            while True:
                lines.first = ""
                try:
                    fields = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:  # a field above the limit of `csv`
                    todo = "A quote in this line may not be closed: close it, or shorten the field"
                    raise self.error(f"line {begin}", f"{error} ({lines.first[:80]!r})", todo) from None
                if fields:
                    yield begin, fields, lines.first
                begin = reader.line_num + 1


class _Lines:
    """An iterator over lines; `first` is the first line that was read since `first` was set to an empty string."""

    def __init__(self, lines: Iterator[str]):
        self._lines = lines
        self.first = ""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.first = self.first or line.rstrip("\r\n")
        return line
