"""What each of the tables holds and how its files are read; and the problems that a file can have."""

from typing import Literal, NamedTuple

import pyarrow as pa
from pydantic import Field

from core import names
from core.columns import event_types
from core.errors import DataError
from core.settings import Settings
from transform.columns import feature_types
from transform.features import AnyFeature

KEYS = names.KEYS
_MOST_TOLD = 20


class TableSpec(Settings):
    """What a table holds and how its files are read."""

    table: Literal["interactions", "users", "items", "exposures"] = Field(description="Which of them it is.")
    columns: dict[str, str] = Field(default_factory=dict, description="Our column -> its name in the file.")
    separator: str = Field(",", description="What stands between the fields of a CSV file.")
    on_invalid: Literal["error", "drop"] = Field("error", description="What becomes of a row with a bad value.")
    on_duplicate: Literal["error", "drop", "keep"] = Field("error", description="What becomes of a repeated key.")
    rating_range: tuple[float, float] | None = Field(None, description="[lowest, highest] rating, of interactions.")
    features: dict[str, AnyFeature] = Field(default_factory=dict, description="Feature -> its kind and settings.")
    extra: tuple[str, ...] = Field((), description="Further columns to carry as strings, such as the title.")

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that say which row it is."""
        return KEYS[self.table]

    def types(self) -> dict[str, pa.DataType]:
        """Column → type as written; a rating is written only where the files have one."""
        types = dict.fromkeys(self.keys, pa.string())
        if names.TIMESTAMP in self.keys:
            types = event_types(has_rating=self.table == names.INTERACTIONS)
        types |= feature_types(self.features)
        return types | {name: pa.string() for name in self.extra if name not in types}

    def name_in_file(self, column: str) -> str:
        return self.columns.get(column, column)

    def may_lack(self, column: str) -> bool:
        """Whether a file may come without `column`: a rating that nobody declared."""
        return column == names.RATING and self.rating_range is None and names.RATING not in self.columns


class Problem(NamedTuple):
    """The parts of a DataError, as data that Beam can carry."""

    file: str
    place: str
    found: str
    todo: str


def as_error(problems: list[Problem]) -> DataError:
    """One error that tells all problems, a line each."""
    first, *rest = problems
    lines = [str(DataError(*problem)) for problem in rest[: _MOST_TOLD - 1]]
    if len(problems) > _MOST_TOLD:
        lines.append(f"and {len(problems) - _MOST_TOLD} problems more")
    return DataError(first.file, first.place, first.found, "\n  ".join([first.todo, *lines]))
