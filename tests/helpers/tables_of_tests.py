"""Functions that write tables for a test, and read them: the rows and the report, or the error."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.table_example_gen.spec import TableSpec, as_error
from components.table_example_gen.table import check_table, clean_tables

NOW = 1_700_000_000
EVENTS = TableSpec(table="interactions", rating_range=(1, 5), max_dropped=1)
ITEMS = TableSpec(
    table="items",
    features={
        "genres": {"kind": "multi_valued", "separator": "|", "max_values": 2},
        "year": {"kind": "numeric"},
        "maker": {"kind": "categorical"},
    },
    extra=("title",),
)
HEADER = "user_id,item_id,timestamp,rating\n"
GOOD = "1,2,880606923,3\n"


def put(folder: Path, name: str, content: str | bytes | pa.Table) -> Path:
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def events(**columns) -> pa.Table:
    """Return two valid events, with some columns replaced."""
    good = {"user_id": ["1", "2"], "item_id": ["7", "7"], "timestamp": [1, 2], "rating": [3.0, 4.0]}
    return pa.table(good | columns)


def read(path: Path, spec: TableSpec) -> tuple[pa.Table, dict]:
    plan, _ = check_table([str(path)], spec, NOW)
    assert not plan.problems, as_error(plan.problems)
    tables = list(clean_tables(str(path), spec, NOW, plan.repeats[str(path)]))
    table = pa.concat_tables(tables)
    assert table.num_rows == plan.report["rows_written"]
    return table, plan.report


def refused(path: Path, spec: TableSpec) -> str:
    plan, _ = check_table([str(path)], spec, NOW)
    assert plan.problems
    assert all(problem.file == str(path) and problem.todo for problem in plan.problems)
    return str(as_error(plan.problems))
