"""The specification of a table, and the problems that a file can have."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import pyarrow as pa
from pydantic import Field

from core import names
from core.arrow import event_types
from core.errors import DataError
from core.settings import Settings
from transform.arrow_types import feature_types
from transform.features import AnyFeature

KEYS = names.KEYS
_MAX_PROBLEMS = 20


class TableSpec(Settings):
    """The columns of a table and how its files are read."""

    table: Literal["interactions", "users", "items", "impressions"] = Field(description="The name of the table.")
    columns: dict[str, str] = Field(default_factory=dict, description="Canonical column -> its name in the file.")
    separator: str = Field(",", description="The separator of the fields of a CSV file.")
    on_invalid: Literal["error", "drop"] = Field("error", description="The action on a row with an invalid value.")
    on_duplicate: Literal["error", "drop", "keep"] = Field(
        "error", description="The action on a row whose key an earlier row has."
    )
    max_dropped: float = Field(
        0.05, ge=0, le=1, description="The largest share of the rows that may be dropped; a larger one is an error."
    )
    rating_range: tuple[float, float] | None = Field(None, description="The [lowest, highest] rating of interactions.")
    features: dict[str, AnyFeature] = Field(default_factory=dict, description="Feature -> its kind and settings.")
    extra: tuple[str, ...] = Field((), description="Other columns that are written, as strings, such as the title.")

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the columns of the key."""
        return KEYS[self.table]

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Return the columns of features."""
        return tuple(feature_types(self.features))

    def types(self) -> dict[str, pa.DataType]:
        """Return column → Arrow type in the Examples; the rating is written only if the files have one."""
        types = dict.fromkeys(self.keys, pa.string())
        if names.TIMESTAMP in self.keys:
            types = event_types(has_rating=self.table == names.INTERACTIONS)
        types |= feature_types(self.features)
        return types | {name: pa.string() for name in self.extra if name not in types}

    def name_in_file(self, column: str) -> str:
        return self.columns.get(column, column)

    def may_lack(self, column: str) -> bool:
        """Return whether a file may lack `column`: only the rating, if neither its range nor its name is configured."""
        return column == names.RATING and self.rating_range is None and names.RATING not in self.columns


class Problem(NamedTuple):
    """The parts of a DataError, as data that Beam can serialise."""

    file: str
    place: str
    found: str
    todo: str


def check_dropped(table: str, dropped: Mapping[str, int], rows: int, bound: float) -> None:
    """Check the share of rows that were dropped.

    Args:
      table: the name of the table.
      dropped: reason → the number of dropped rows.
      rows: the number of all rows, dropped ones included.
      bound: the largest accepted share of dropped rows.

    Raises:
      DataError: the share of dropped rows is larger than `bound`.
    """
    problem = dropped_problem(table, dropped, rows, bound)
    if problem is not None:
        raise as_error([problem])


def dropped_problem(table: str, dropped: Mapping[str, int], rows: int, bound: float) -> Problem | None:
    """Return the problem that `check_dropped` raises; None if the share is accepted."""
    total = sum(dropped.values())
    if total <= bound * rows:
        return None
    found = f"{dropped_text(dropped, rows)} would be dropped; `data.{table}.max_dropped` is {bound:g}"
    todo = f"Correct the data, or raise `data.{table}.max_dropped` to accept the loss"
    return Problem(table, "the table", found, todo)


def dropped_text(dropped: Mapping[str, int], rows: int) -> str:
    """Return the number of dropped rows, their share and the reasons, in words."""
    total = sum(dropped.values())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(dropped.items()) if count)
    return f"{total:,} of {rows:,} rows ({total / max(rows, 1):.2%}: {reasons})"


def as_error(problems: list[Problem]) -> DataError:
    """Return one error with all problems, one line each."""
    first, *rest = problems
    lines = [str(DataError(*problem)) for problem in rest[: _MAX_PROBLEMS - 1]]
    if len(problems) > _MAX_PROBLEMS:
        lines.append(f"and {len(problems) - _MAX_PROBLEMS} more problems")
    return DataError(first.file, first.place, first.found, "\n  ".join([first.todo, *lines]))


def shortened(value: object) -> str:
    """Format a value for an error message, with at most 80 characters."""
    text = repr(value.decode(errors="backslashreplace") if isinstance(value, bytes) else value)
    return text if len(text) <= 80 else text[:77] + "..."
