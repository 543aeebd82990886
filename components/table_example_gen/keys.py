"""Keys that stand twice, in one file or in two."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.table_example_gen.files import open_file
from components.table_example_gen.spec import Problem, TableSpec
from core import names

ROW, FILE = "row", "file"  # where a key stands


def key_table(table: pa.Table, rows: np.ndarray, file: str, spec: TableSpec) -> pa.Table:
    """The key columns of `table` and where they stand."""
    places = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), pa.array([file]))
    return table.select(spec.keys).append_column(ROW, pa.array(rows)).append_column(FILE, places)


def repeated(keys: pa.Table, spec: TableSpec) -> np.ndarray:
    """bool, the rows whose key an earlier row has."""
    numbered = keys.select(spec.keys).append_column("ordinal", pa.array(np.arange(keys.num_rows)))
    first = numbered.group_by(list(spec.keys)).aggregate([("ordinal", "min")]).column("ordinal_min").to_numpy()
    out = np.ones(keys.num_rows, bool)
    out[first] = False
    return out


def problem(keys: pa.Table, repeats: np.ndarray, spec: TableSpec) -> Problem:
    """Tells the first repeated key, and where it stands first."""
    again = int(repeats.argmax())
    key = {name: keys.column(name)[again] for name in spec.keys}
    same = np.ones(keys.num_rows, bool)
    for name, value in key.items():
        same &= pc.equal(keys.column(name), value).to_numpy()
    file, place = _where(keys, again, spec)
    first_file, first_place = _where(keys, int(same.argmax()), spec)
    first = first_place if first_file == file else f"{first_place} of {first_file}"
    told = ", ".join(f"{name} {value.as_py()!r}" for name, value in key.items())
    count = int(repeats.sum())
    more = f" ({count:,} such rows)" if count > 1 else ""
    policy = f"data.{spec.table}.on_duplicate"
    if names.TIMESTAMP in spec.keys:
        row = "event" if spec.table == names.INTERACTIONS else "exposure"
        return Problem(
            file,
            place,
            f"the same {row} as in {first}: {told}{more}",
            f"Deliver it once, or set `{policy}` to drop or keep",
        )
    return Problem(
        file, place, f"{told} stands in {first} already{more}", f"Leave one row a key, or set `{policy}: drop`"
    )


def _where(keys: pa.Table, at: int, spec: TableSpec) -> tuple[str, str]:
    file = keys.column(FILE)[at].as_py()
    return file, open_file(file, spec.separator).places([keys.column(ROW)[at].as_py()])[0]
