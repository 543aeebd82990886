"""The search for duplicate keys in the files of a table, shard by shard, so that memory holds one shard at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.table_example_gen.files import opened
from components.table_example_gen.sources import require_file
from components.table_example_gen.spec import Problem, TableSpec, shortened
from core import names
from core.errors import DataError
from core.storage import shard_files, uris

ROW, FILE = "row", "file"  # the columns with the position of a key
KEYS_A_SHARD = 4_000_000
_BYTES_A_ROW = 8  # the assumed minimum size of a row, which bounds the number of rows before they are counted


@dataclass(frozen=True)
class Repeat:
    """The first duplicate row of a file, and the earlier row that has the same key."""

    row: int
    key: dict[str, str | int]
    first_file: str
    first_row: int


@dataclass(frozen=True)
class Repeats:
    """The duplicate rows of a table: an earlier row, or a row in a file earlier by name, has the same key.

    Args:
      rows: file → its duplicate rows, ascending.
      first: file → its first duplicate row.
    """

    rows: dict[str, np.ndarray] = field(default_factory=dict)
    first: dict[str, Repeat] = field(default_factory=dict)


def key_table(table: pa.Table, rows: np.ndarray, file: str, spec: TableSpec) -> pa.Table:
    """Return the key columns of `table`, with the row number and the file of each key."""
    places = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), pa.array([file]))
    return table.select(spec.keys).append_column(ROW, pa.array(rows)).append_column(FILE, places)


def shards_for(paths: Iterable[str]) -> int:
    """Return the number of shards for the keys of these files."""
    return max(1, -(-sum(map(_most_rows, paths)) // KEYS_A_SHARD))


def by_shard(table: pa.Table, spec: TableSpec, shards: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield (shard, keys) for each shard of a batch of keys; the hash that decides is equal on every worker."""
    if shards == 1:
        yield 0, table
        return
    import pandas as pd

    shard = pd.util.hash_pandas_object(table.select(spec.keys).to_pandas(), index=False).to_numpy() % shards
    for index in np.unique(shard):
        yield int(index), table.filter(pa.array(shard == index))


def repeats_of(parts: Iterable[pa.Table], spec: TableSpec) -> Repeats:
    """Return the duplicates among all keys of a shard.

    Args:
      parts: tables of `key_table` in any order, each with rows of one file in the order of their row numbers.
      spec: the specification of the table.
    """
    tables = sorted((part for part in parts if part.num_rows), key=lambda part: (_file(part, 0), part[ROW][0].as_py()))
    if not tables:
        return Repeats()
    keys = pa.concat_tables(tables)
    again = np.flatnonzero(repeated(keys, spec))
    bounds = np.cumsum([0, *(table.num_rows for table in tables)])
    owner = np.searchsorted(bounds, again, side="right") - 1  # the part of each duplicate
    numbers = keys[ROW].to_numpy()
    rows: dict[str, np.ndarray] = {}
    first: dict[str, Repeat] = {}
    files = [_file(table, 0) for table in tables]
    for part in np.unique(owner):
        mine, file = again[owner == part], files[part]
        rows[file] = np.concatenate([rows[file], numbers[mine]]) if file in rows else numbers[mine]
        if file not in first and spec.on_duplicate == "error":
            first[file] = _repeat(keys, int(mine[0]), spec)
    return Repeats(rows, first)


def repeated(keys: pa.Table, spec: TableSpec) -> np.ndarray:
    """Return [R] bool, whether an earlier row has the same key."""
    numbered = keys.select(spec.keys).append_column("ordinal", pa.array(np.arange(keys.num_rows)))
    first = numbered.group_by(list(spec.keys)).aggregate([("ordinal", "min")]).column("ordinal_min").to_numpy()
    out = np.ones(keys.num_rows, bool)
    out[first] = False
    return out


def merged(shards: Iterable[Repeats]) -> Repeats:
    """Return the duplicates of all shards together."""
    rows: dict[str, list[np.ndarray]] = {}
    first: dict[str, Repeat] = {}
    for shard in shards:
        for file, own in shard.rows.items():
            rows.setdefault(file, []).append(own)
        for file, repeat in shard.first.items():
            if file not in first or repeat.row < first[file].row:
                first[file] = repeat
    return Repeats({file: np.sort(np.concatenate(rows[file])) for file in sorted(rows)}, dict(sorted(first.items())))


def problems(repeats: Repeats, spec: TableSpec) -> list[Problem]:
    """Return one problem per file with duplicates: its first duplicate row, and the earlier row with the same key."""
    return [_problem(file, repeat, len(repeats.rows[file]), spec) for file, repeat in repeats.first.items()]


def _problem(file: str, repeat: Repeat, count: int, spec: TableSpec) -> Problem:
    place = _place(file, repeat.row, spec)
    first = _place(repeat.first_file, repeat.first_row, spec)
    first = first if repeat.first_file == file else f"{first} of {repeat.first_file}"
    key = ", ".join(f"{name} {shortened(value)}" for name, value in repeat.key.items())
    more = f" ({count:,} such rows)" if count > 1 else ""
    policy = f"data.{spec.table}.on_duplicate"
    if names.TIMESTAMP in spec.keys:
        row = "event" if spec.table == names.INTERACTIONS else "impression"
        todo = f"Deliver it once, or set `{policy}` to drop or keep"
        return Problem(file, place, f"the same {row} as in {first}: {key}{more}", todo)
    return Problem(
        file, place, f"{key} already occurs in {first}{more}", f"Keep one row per key, or set `{policy}: drop`"
    )


def _place(path: str, row: int, spec: TableSpec) -> str:
    """Return the position of a row of a file as text."""
    with opened(path, spec.separator) as file:
        [place] = file.places([row])
    return place


def _repeat(keys: pa.Table, at: int, spec: TableSpec) -> Repeat:
    key = {name: keys[name][at] for name in spec.keys}
    same = np.ones(keys.num_rows, bool)
    for name, value in key.items():
        same &= pc.equal(keys[name], value).to_numpy()
    first = int(same.argmax())
    values = {name: value.as_py() for name, value in key.items()}
    return Repeat(keys[ROW][at].as_py(), values, _file(keys, first), keys[ROW][first].as_py())


def _file(keys: pa.Table, at: int) -> str:
    return keys[FILE][at].as_py()


def _most_rows(path: str) -> int:
    """Return an upper bound of the number of rows of a file; 0 for one that cannot be read: `check_file` reports it.

    An object is not downloaded for it: its number of rows is estimated from its size in every format.
    """
    if uris.is_uri(path):
        return shard_files.size(path) // _BYTES_A_ROW
    try:
        require_file(path)
        return pq.read_metadata(path).num_rows if path.endswith(".parquet") else shard_files.size(path) // _BYTES_A_ROW
    except (DataError, pa.ArrowException, OSError):
        return 0
