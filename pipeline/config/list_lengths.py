"""The check of list lengths against the catalogue: before a run, and again after the join."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from core.errors import UsageError
from pipeline.config import Config

_BLOCK = 1 << 20  # bytes


def list_lengths(config: Config) -> dict[str, int]:
    """Return the configuration keys that set a list length -> the length."""
    return {"retrieval.candidates": config.retrieval.candidates, "evaluation.at": max(config.evaluation.at)}


def check_files(config: Config, files: Sequence[Path]) -> None:
    """Check the configured list lengths against the number of rows in the files of the items table.

    The number of rows is an upper bound, counted no further than the longest list. A file that cannot be counted passes
    this check; the node `ItemGen` reports its error.

    Raises:
      UsageError: a list is longer than the number of rows.
    """
    lengths = list_lengths(config)
    rows = rows_up_to(files, max(lengths.values()))
    if rows is None:
        return
    wrong = [
        f"  {key}: should be at most {rows:,}, the rows of the items table; found {length:,}"
        for key, length in lengths.items()
        if length > rows
    ]
    if wrong:
        raise UsageError("lists are longer than the catalogue:\n" + "\n".join(wrong))


def check_joined(config: Config, examples: Path) -> None:
    """Check the configured list lengths against the joined catalogue.

    Args:
      config: the configuration.
      examples: the folder of EventJoiner's output `examples`.

    Raises:
      DataError: a list is longer than the catalogue.
    """
    from core import names, queries
    from core.arrow import read_arrow

    items = read_arrow(examples / names.CATALOGUE_FILE).num_rows
    for key, length in list_lengths(config).items():
        queries.check_list_length(length, items, key)


def rows_up_to(files: Iterable[Path], enough: int) -> int | None:
    """Return an upper bound of the rows of some files, counted until there are `enough`; None where unknown."""
    rows = 0
    for file in files:
        count = _rows(file, enough)
        if count is None:
            return None
        rows += count
        if rows >= enough:
            break
    return rows


def _rows(file: Path, enough: int) -> int | None:
    """Return the rows of one file; None if it is not a regular file, or not in the format of its extension."""
    from components.table_example_gen.sources import looks_like, require_file
    from core.errors import DataError

    try:
        require_file(str(file))
        if (looks_like(str(file)) == "Parquet") != (file.suffix == ".parquet"):
            return None
    except (DataError, OSError):
        return None
    if file.suffix == ".parquet":
        return _parquet_rows(file)
    return _csv_rows(file, enough) if looks_like(str(file)) == "text" else None


def _parquet_rows(file: Path) -> int | None:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        rows: int = pa.parquet.read_metadata(file).num_rows
        return rows
    except (OSError, pa.ArrowException):
        return None


def _csv_rows(file: Path, enough: int) -> int | None:
    """Return an upper bound of the rows of a file; blank lines and line ends inside quotes count as rows."""
    ends, last = 0, b""
    try:
        with open(file, "rb") as lines:
            while ends <= enough and (block := lines.read(_BLOCK)):
                ends += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
                last = block[-1:]
    except OSError:
        return None
    return ends - (last in b"\r\n") if last else None
