"""The files of a table as canonical columns, and their problems. Pure Arrow and NumPy.

A table is read twice. `check_file` and `make_plan` find every problem before anything is written; then `clean_tables`
yields the valid rows, batch by batch.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from components.table_example_gen import conversion, keys
from components.table_example_gen.files import TableFile, opened
from components.table_example_gen.header import find_columns, unknown_columns
from components.table_example_gen.spec import Problem, TableSpec, dropped_problem, shortened
from core import files, names
from core.errors import DataError
from core.membership import is_in
from transform.columns import StringColumn, StringListColumn, TimestampColumn, VectorColumn
from transform.features import raw_columns

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class FileCheck:
    """The result of checking one file.

    Args:
      path: the file.
      problems: the problems for which the table is rejected.
      sha256: the digest of the file's content.
      rows: the number of rows of the file.
      dropped: reason → the number of dropped rows.
      ignored: the columns of the file that the configuration does not name.
      columns: the canonical columns that the file has.
      valued: the canonical columns in which a valid row has a value.
    """

    path: str
    problems: list[Problem]
    sha256: str = ""
    rows: int = 0
    dropped: Counter = field(default_factory=Counter)
    ignored: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    valued: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """The result of checking a table.

    Args:
      problems: the problems for which the table is rejected; without any, its valid rows are written.
      repeats: file → its duplicate rows, which are not written.
      report: the content of the report file, without problems and spans.
    """

    problems: list[Problem]
    repeats: dict[str, np.ndarray]
    report: dict[str, Any]


def check_file(path: str, spec: TableSpec, now: int) -> Generator[pa.Table, None, FileCheck]:
    """Read one file and find its problems.

    Args:
      path: a .csv, .tsv, .txt or .parquet file.
      spec: the specification of its table.
      now: the present timestamp; an event more than a day after it is a fault.

    Yields:
      The keys of the valid rows with their positions, batch by batch, as returned by `keys.key_table`.

    Returns:
      The result of the check.
    """
    valued: set[str] = set()
    try:
        with opened(path, spec.separator) as file:
            present, ignored, problems = find_columns(file, spec)
            if problems:
                return FileCheck(path, problems, ignored=ignored)
            tally = _Tally(file, spec)
            for rows, table, faults in _scan(file, spec, present, now):
                good = pa.array(~tally.add(rows, faults))
                table = table.filter(good)
                valued |= {name for name in present if table[name].null_count < table.num_rows}
                yield keys.key_table(table, rows[good.to_numpy(zero_copy_only=False)], path, spec)
            tally.add_malformed()
            problems, digest = tally.problems(), files.sha256(file.local)
            return FileCheck(path, problems, digest, file.rows(), tally.dropped, ignored, present, sorted(valued))
    except DataError as error:
        return FileCheck(path, [Problem(error.file, error.place, error.found, error.todo)])


def make_plan(checks: list[FileCheck], repeats: keys.Repeats, spec: TableSpec) -> Plan:
    """Return the plan of a table from the checks of its files.

    Args:
      checks: the checks of all files, in any order.
      repeats: the duplicate rows of all files.
      spec: the specification of the table.
    """
    checks = sorted(checks, key=lambda check: check.path)
    problems = unknown_columns(spec) + [problem for check in checks for problem in check.problems]
    problems += keys.problems(repeats, spec)
    rows = {check.path: repeats.rows.get(check.path, _NONE) for check in checks}
    report = _report(checks, rows, spec)
    if not problems:
        problems = _of_whole_table(checks, report, spec)
    return Plan(problems, rows, report)


def check_table(paths: Iterable[str], spec: TableSpec, now: int) -> tuple[Plan, list[pa.Table]]:
    """Check all files of a table in this process, without Beam; the arguments are those of `check_file`.

    Returns:
      The plan; the keys of all valid rows, in memory.
    """
    checks: list[FileCheck] = []
    parts: list[pa.Table] = []

    def kept(path: str) -> Iterator[pa.Table]:
        checks.append((yield from check_file(path, spec, now)))

    for path in sorted(paths):
        parts += kept(path)
    repeats = keys.Repeats() if spec.on_duplicate == "keep" else keys.repeats_of(parts, spec)
    return make_plan(checks, repeats, spec), parts


def clean_tables(path: str, spec: TableSpec, now: int, repeats: np.ndarray) -> Iterator[pa.Table]:
    """Yield the valid rows of a checked file in their order, batch by batch, with the types of `spec.types()`.

    Args:
      path: the file.
      spec: the specification of its table.
      now: as for `check_file`.
      repeats: the duplicate rows of the file, which are left out.
    """
    with opened(path, spec.separator) as file:
        present, _, _ = find_columns(file, spec)
        for rows, table, faults in _scan(file, spec, present, now):
            good = ~is_in(rows, repeats)
            for _, fault, _ in faults:
                good &= ~fault.bad
            yield table.filter(pa.array(good))


def _report(checks: list[FileCheck], repeats: dict[str, np.ndarray], spec: TableSpec) -> dict[str, Any]:
    """Return the report: the rows that were read, written and dropped, by reason and file."""
    by_file, total = [], Counter[str]()
    for check in checks:
        dropped = check.dropped + Counter(duplicate=len(repeats[check.path]))
        by_file.append({"file": check.path, "sha256": check.sha256, "rows": check.rows, "dropped": dict(dropped)})
        total += dropped
    rows = sum(check.rows for check in checks)
    return {
        "table": spec.table,
        "rows_read": rows,
        "rows_written": rows - total.total(),
        "dropped": dict(total),
        "dropped_share": round(total.total() / max(rows, 1), 6),
        "columns": [name for name in spec.types() if any(name in check.columns for check in checks)],
        "ignored_columns": sorted({column for check in checks for column in check.ignored}),
        "files": by_file,
    }


def _of_whole_table(checks: list[FileCheck], report: dict[str, Any], spec: TableSpec) -> list[Problem]:
    """Return the problems of the table as a whole: no rows, too many dropped rows, empty columns, missing ratings."""
    file = checks[0].path if len(checks) == 1 else f"the {len(checks)} files of {spec.table}"
    if not report["rows_read"]:
        return [Problem(file, "the table", "has columns but no rows", "Deliver the table with its rows")]
    if not report["rows_written"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report["dropped"].items())
        todo = f"Set `data.{spec.table}.on_invalid: error` to see them"
        return [Problem(file, "the table", f"has no valid rows; dropped: {reasons}", todo)]
    problems = []
    too_many = dropped_problem(spec.table, report["dropped"], report["rows_read"], spec.max_dropped)
    if too_many is not None:
        problems.append(too_many._replace(file=file))
    valued = {column for check in checks for column in check.valued}
    for column in spec.feature_columns:
        if column not in valued:
            found = f"the column {spec.name_in_file(column)!r} of {spec.table} has no value in any row"
            todo = f"Deliver its values, or remove {column!r} from `features`"
            problems.append(Problem(file, "the table", found, todo))
    unrated = [check.path for check in checks if check.rows and names.RATING not in check.columns]
    if spec.table == names.INTERACTIONS and 0 < len(unrated) < sum(check.rows > 0 for check in checks):
        found = f"there is no column {spec.name_in_file(names.RATING)!r}, but other files have one"
        problems.append(Problem(unrated[0], "its columns", found, "Give all files the same columns"))
    return problems


# ---- reading ----

_Faults = list[tuple[str, conversion.Fault, pa.Array]]  # name of the column in the file, fault, raw values


def _scan(
    file: TableFile, spec: TableSpec, present: list[str], now: int
) -> Iterator[tuple[np.ndarray, pa.Table, _Faults]]:
    """Yield the numbers of rows, their canonical columns and their faults, batch by batch."""
    in_file = {name: spec.name_in_file(name) for name in present}
    for rows, batch in file.batches(list(dict.fromkeys(in_file.values()))):
        converted: dict[str, pa.Array] = {}
        faults: _Faults = []
        for name, column in in_file.items():
            raw = batch.column(column)
            converted[name], found = _convert(name, raw, spec, now)
            faults += [(column, fault, raw) for fault in found]
        yield rows, pa.table(converted), faults


def _convert(name: str, raw: pa.Array, spec: TableSpec, now: int) -> conversion.Converted:
    if name == names.TIMESTAMP:
        return conversion.timestamp(raw, now)
    if name in spec.keys:
        return conversion.identifier(raw)
    if name == names.RATING:
        return conversion.rating(raw, spec.rating_range)
    kind = raw_columns(spec.features).get(name, StringColumn())
    match kind:
        case VectorColumn():
            return conversion.vector(raw, kind.separator, kind.size)
        case StringListColumn():
            return conversion.strings(raw, kind.separator, kind.most)
        case TimestampColumn():
            return conversion.moment(raw)
    return conversion.number(raw) if kind.numeric else conversion.text(raw)


@dataclass
class _Kind:
    """One kind of fault in one column: the number of rows with it, and the first of them."""

    row: int
    found: str
    todo: str
    fatal: bool
    count: int = 0


class _Tally:
    """The faults of a file: their number and the first of each kind."""

    def __init__(self, file: TableFile, spec: TableSpec):
        self.file, self.spec = file, spec
        self.dropped: Counter = Counter()
        self._kinds: dict[tuple[str, str], _Kind] = {}  # by column and reason

    def add(self, rows: np.ndarray, faults: _Faults) -> np.ndarray:
        """Count the faults of a batch, and return [R] whether each row is invalid.

        A row with several faults is counted as dropped for the first reason only.
        """
        bad = np.zeros(len(rows), bool)
        for column, fault, raw in faults:
            at = int(fault.bad.argmax())
            found = fault.found.format(value=shortened(raw[at].as_py()))
            kind = _Kind(int(rows[at]), found, fault.todo, fault.fatal)
            self._kinds.setdefault((column, fault.reason), kind).count += int(fault.bad.sum())
            self.dropped[fault.reason] += int((fault.bad & ~bad).sum())
            bad |= fault.bad
        return bad

    def add_malformed(self) -> None:
        """Count the rows that could not be split into fields."""
        malformed = self.file.malformed()
        if malformed:
            row, found = malformed[0]
            todo = "Check its separators and quotes. If it is the last line, the file is truncated: deliver it again"
            self._kinds["", "malformed_row"] = _Kind(row, found, todo, False, len(malformed))
            self.dropped["malformed_row"] += len(malformed)

    def problems(self) -> list[Problem]:
        """Return a problem for each column and kind of fault that is not dropped."""
        kinds = [
            (column, kind) for (column, _), kind in self._kinds.items() if kind.fatal or self.spec.on_invalid == "error"
        ]
        places = self.file.places([kind.row for _, kind in kinds])
        problems = []
        for (column, kind), place in zip(kinds, places, strict=True):
            where = f"{place}, column {column!r}" if column else place
            more = f" ({kind.count:,} such rows)" if kind.count > 1 else ""
            drop = "" if kind.fatal else f", or drop such rows with `data.{self.spec.table}.on_invalid: drop`"
            problems.append(Problem(self.file.path, where, kind.found + more, kind.todo + drop))
        return problems
