"""The mapping of the columns of a file to canonical columns, and the problems of missing columns."""

import difflib
import re
from collections import Counter

from components.table_example_gen.files import CsvFile, TableFile
from components.table_example_gen.spec import Problem, TableSpec, shortened

_MOST_COLUMNS = 20  # the maximum number of columns that an error names


def find_columns(file: TableFile, spec: TableSpec) -> tuple[list[str], list[str], list[Problem]]:
    """Return the canonical columns in the file, its undeclared columns, and the problems of its header."""
    wanted = {name: spec.name_in_file(name) for name in spec.types()}
    present = [name for name, column in wanted.items() if column in file.columns]
    ignored = [column for column in dict.fromkeys(file.columns) if column not in wanted.values()]
    missing = [name for name in wanted if name not in present and not spec.may_lack(name)]
    key = f"`data.{spec.table}.columns`"
    if missing and not present:
        return present, ignored, [_nothing_known(file, spec, [wanted[name] for name in missing], key)]
    problems = []
    for name in missing:
        found, todo = f"there is no column {wanted[name]!r}", f"Add it, or name the right one in {key}"
        close = _close(wanted[name], ignored)
        if close:
            found, todo = (
                f"{found}; the closest is {close!r}",
                f"Set {key[:-1]}: {{{name}: {close}}}`, or add the column",
            )
        problems.append(Problem(file.path, "the header" if isinstance(file, CsvFile) else "its columns", found, todo))
    counts = Counter(file.columns)
    for column in (wanted[name] for name in present if counts[wanted[name]] > 1):
        todo = "Rename all but one"
        problems.append(Problem(file.path, "the header", f"the column {column!r} occurs {counts[column]} times", todo))
    return present, ignored, problems


def unknown_columns(spec: TableSpec) -> list[Problem]:
    """Return a problem for each column that the configuration renames and the table does not have."""
    key = f"data.{spec.table}.columns"
    found = "is renamed, but the table has no such column"
    return [
        Problem(key, name, found, f"Its columns are {', '.join(spec.types())}. Declare it, or remove the entry")
        for name in spec.columns
        if name not in spec.types()
    ]


def _nothing_known(file: TableFile, spec: TableSpec, expected: list[str], key: str) -> Problem:
    """Return the problem of a file without known columns: no header, another separator, or other names."""
    lacks = f"found none of the columns {', '.join(map(repr, expected))}"
    if not isinstance(file, CsvFile):
        more = ", …" if len(file.columns) > _MOST_COLUMNS else ""
        found = f"{lacks}; the file has {', '.join(map(repr, file.columns[:_MOST_COLUMNS])) or 'none'}{more}"
        return Problem(file.path, "its columns", found, f"Name the right ones in {key}")
    shown = shortened(file.first_line)
    if len(file.columns) == 1:
        other = next((mark for mark in "\t;|," if mark in file.columns[0]), None)
        if other and set(expected) & set(file.columns[0].split(other)):
            found = f"{shown} has no separator {spec.separator!r} but {other!r}"
            return Problem(file.path, "the header", found, f"Set `data.{spec.table}.separator` to {other!r}")
    if any(re.fullmatch(r"\s*|[+-]?\d.*", field) for field in file.columns):
        found = f"the file seems to have no header: its first line is {shown}, and {lacks}"
        todo = f"Put a line with the names of the columns before it, or name them in {key} if it is the header"
        return Problem(file.path, "the header", found, todo)
    todo = f"Name the right columns in {key}; if that line is data, put a header before it"
    return Problem(file.path, "the header", f"{lacks} in {shown}", todo)


def _close(column: str, among: list[str]) -> str | None:
    """Return the name most similar to `column`, regardless of case and punctuation."""
    plain = {re.sub(r"[\W_]+", "", name.lower()): name for name in among}
    match = difflib.get_close_matches(re.sub(r"[\W_]+", "", column.lower()), plain, n=1, cutoff=0.6)
    return plain[match[0]] if match else None
