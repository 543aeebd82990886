"""The check of `twostep data check`: all problems of the tables, found with Arrow, without TFX."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.table_example_gen import keys
from components.table_example_gen.files import opened
from components.table_example_gen.sources import TableSource
from components.table_example_gen.spec import Problem, TableSpec, dropped_problem, shortened
from components.table_example_gen.table import Plan, check_table
from core import names
from core.errors import DataError
from pipeline.config import Config, paths
from pipeline.config.table_spec import table_spec


@dataclass
class TableCheck:
    """The content of a table.

    Args:
      table: the name of the table.
      spans: the selected spans; empty if the path of the table marks no spans.
      files: the number of files of the table.
      rows: the number of rows in the files.
      dropped: reason → the number of rows that a run would drop.
      columns: the columns that are read.
      ignored: the columns of the files that are not read.
      problems: the problems that would stop a run.
    """

    table: str
    spans: Sequence[str] = ()
    files: int = 0
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    columns: Sequence[str] = ()
    ignored: Sequence[str] = ()
    problems: list[Problem] = field(default_factory=list)


@dataclass
class _Read:
    """A table and the keys of its valid rows, without duplicates."""

    spec: TableSpec
    check: TableCheck
    keys: pa.Table | None = None


def check(config: Config, config_file: str | Path) -> list[TableCheck]:
    """Check all tables, with the keys of all of them in memory.

    Raises:
      UsageError: the tables have different spans, the run folder is not writable, or a frozen schema is damaged.
    """
    paths.check_run_folder(paths.run_folder(config))
    if config.data.schema_folder is not None:
        folder = Path(config_file).absolute().parent / config.data.schema_folder
        for table in config.data.tables:
            paths.check_schema(folder / f"{table}.pbtxt")
    sources = paths.table_sources(config, config_file)
    now = int(time.time())
    read = {table: _read(table_spec(config, table), source, now) for table, source in sources.items()}
    for table in (names.INTERACTIONS, names.IMPRESSIONS):
        if table in read:
            drop = getattr(config.data, table).on_unknown == "drop"
            _check_known(read[table], read.get(names.USERS, read[names.INTERACTIONS]), read[names.ITEMS], drop)
    for table, each in read.items():
        each.check.problems = [
            Problem(*(sources[table].named(part) for part in problem)) for problem in each.check.problems
        ]
    return [each.check for each in read.values()]


def _read(spec: TableSpec, source: TableSource, now: int) -> _Read:
    found = TableCheck(spec.table, source.spans)
    try:
        files = source.files()
    except DataError as error:
        found.problems.append(Problem(error.file, error.place, error.found, error.todo))
        return _Read(spec, found)
    plan, parts = check_table(files, spec, now)
    found.files, found.rows = len(files), plan.report["rows_read"]
    found.problems, found.dropped = list(plan.problems), dict(plan.report["dropped"])
    found.columns, found.ignored = plan.report["columns"], plan.report["ignored_columns"]
    return _Read(spec, found, _kept(parts, plan) if parts else None)


def _kept(parts: list[pa.Table], plan: Plan) -> pa.Table:
    """Return the keys of the valid rows, without the duplicates that the plan drops."""
    kept = []
    for part in parts:
        repeats = plan.repeats[part[keys.FILE][0].as_py()] if part.num_rows else ()
        kept.append(part.filter(pa.array(~np.isin(part[keys.ROW].to_numpy(), repeats))) if len(repeats) else part)
    return pa.concat_tables(kept)


def _check_known(events: _Read, users: _Read, items: _Read, drop: bool) -> None:
    """Add the problems of rows whose user or item is not in its table; a table that has problems is not compared."""
    rows = events.keys
    if rows is None:
        return
    unknown = np.zeros(rows.num_rows, bool)
    dropped: dict[str, int] = {}
    for keyed, key in ((users, names.USER_ID), (items, names.ITEM_ID)):
        if keyed is events or keyed.keys is None or keyed.check.problems:
            continue
        known = pc.is_in(rows[key], value_set=keyed.keys[key].combine_chunks())
        missing = ~known.to_numpy(zero_copy_only=False).astype(bool)
        if missing.any() and not drop:
            events.check.problems.append(_unknown(rows, events.spec, keyed.spec.table, key, missing))
        count = int((missing & ~unknown).sum())
        if count:
            dropped[f"unknown_{key.removesuffix('_id')}"] = count
        unknown |= missing
    if drop and dropped:
        events.check.dropped.update(dropped)
        problem = dropped_problem(events.spec.table, dropped, len(unknown), events.spec.max_dropped)
        events.check.problems += [problem] if problem else []


def _unknown(rows: pa.Table, spec: TableSpec, keyed: str, key: str, missing: np.ndarray) -> Problem:
    at, count = int(missing.argmax()), int(missing.sum())
    file = rows[keys.FILE][at].as_py()
    with opened(file, spec.separator) as read:
        [place] = read.places([rows[keys.ROW][at].as_py()])
    more = f" ({count:,} such rows)" if count > 1 else ""
    return Problem(
        file,
        f"{place}, column {spec.name_in_file(key)!r}",
        f"{shortened(rows[key][at].as_py())} is not in the table {keyed}{more}",
        f"Add it to {keyed}, or set `data.{spec.table}.on_unknown: drop` to leave such rows out",
    )
