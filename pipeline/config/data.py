"""The configuration of the tables: their files and how they are read."""

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from core import names
from core.errors import UsageError
from core.settings import Settings
from core.storage import uris
from pipeline import datasets
from pipeline.sources.settings import SOURCES, BigQuery, Bigtable, SourceSettings, Spanner

Policy = Literal["error", "drop"]
Location = str | SourceSettings  # of a table: the path of its files, or another source

_MARK = re.compile(r"\{([^{}]*)\}")
_DATE = ("YYYY", "MM", "DD")


def is_dated(path: str) -> bool:
    """Return whether the path of a table contains marks of spans, such as `{SPAN}` or `{YYYY}`."""
    return "{SPAN" in path or "{YYYY}" in path


def _check_marks(path: str) -> None:
    """Raise ValueError if the marks in a path are unknown to TFX or contradict each other."""
    marks = [mark.partition(":")[0] for mark in _MARK.findall(path)]
    for mark in _MARK.findall(path):
        if not re.fullmatch(r"(SPAN|VERSION)(:[1-9][0-9]?)?|YYYY|MM|DD", mark):
            raise ValueError(
                f"should mark spans as {{SPAN}}, {{SPAN:3}} or {{YYYY}}-{{MM}}-{{DD}}, and versions as {{VERSION}}; "
                f"found {{{mark}}}"
            )
    if len(marks) != len(set(marks)):
        raise ValueError("should have each mark such as {SPAN} once")
    dates = [mark for mark in _DATE if mark in marks]
    if dates and (len(dates) < 3 or "SPAN" in marks):
        raise ValueError("should have either {SPAN}, or all of {YYYY}, {MM} and {DD}")
    if "VERSION" in marks and not is_dated(path):
        raise ValueError("{VERSION} requires {SPAN} or a date")


class Table(Settings):
    """The files of a table, or another source, and how to read them."""

    path: str | None = Field(
        None,
        description="A file or glob below `data.root`. `{SPAN}` (and `{VERSION}`), or `{YYYY}`, `{MM}` and `{DD}` mark "
        "dated deliveries; `data.spans` selects those that are read.",
    )
    bigquery: BigQuery | None = Field(None, description="A table or query of BigQuery, in place of `path`.")
    bigtable: Bigtable | None = Field(None, description="A table of Bigtable, in place of `path`.")
    spanner: Spanner | None = Field(None, description="A table or query of Spanner, in place of `path`.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="The columns with another name in the file: canonical or feature column -> name in the file.",
    )
    separator: str = Field(",", min_length=1, max_length=1, description="The separator of the fields of a CSV file.")
    on_invalid: Policy = Field(
        "error",
        description="The action on a row with a missing key or an invalid value: `error`, or `drop` the row and report "
        "the number.",
    )
    on_duplicate: Literal["error", "drop", "keep"] = Field(
        "error",
        description="The action on a duplicate key, event or impression: `error`; `drop` all but the first; or `keep` "
        "(not for users and items).",
    )
    max_dropped: float = Field(
        0.05,
        ge=0,
        le=1,
        description="The largest share of dropped rows; a larger share stops the run.",
    )

    @field_validator("path")
    @classmethod
    def _below_root(cls, path: str | None) -> str | None:
        if path is None:
            return None
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError("should be a path below data.root, without '..'")
        if not re.search(r"\.(csv|tsv|txt|parquet)$", path):
            raise ValueError("should end in .csv, .tsv, .txt or .parquet, from which the format follows")
        _check_marks(path)
        return path

    @field_validator("separator")
    @classmethod
    def _separates(cls, separator: str) -> str:
        if separator in '"\r\n\0':
            raise ValueError("should not be a quote, the end of a line or NUL")
        return separator

    @model_validator(mode="after")
    def _one_location(self) -> "Table":
        given = [name for name in ("path", *SOURCES) if getattr(self, name) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none of them"
            raise ValueError(f"should have exactly one of path, {', '.join(SOURCES)}; found {found}")
        return self

    @property
    def location(self) -> Location:
        """Return the path of the files, or the settings of another source."""
        [given] = [each for name in ("path", *SOURCES) if (each := getattr(self, name)) is not None]
        return given


def location_json(location: Location) -> Any:
    """Return a location as JSON values: a path, or the kind of a source with its settings."""
    if isinstance(location, str):
        return location
    [kind] = [name for name, settings in SOURCES.items() if isinstance(location, settings)]
    return {kind: location.model_dump(mode="json")}


def as_location(value: Any) -> Location:
    """Return the location that `location_json` wrote."""
    if isinstance(value, str):
        return value
    [(kind, settings)] = value.items()
    return SOURCES[kind].model_validate(settings)


class Events(Table):
    """A table of users, items and timestamps."""

    on_unknown: Policy = Field(
        "error",
        description="The action on a row with an unknown user or item: `error`, or `drop` the row and report the "
        "number.",
    )


class Interactions(Events):
    """The table of interactions."""

    rating_range: tuple[float, float] | None = Field(
        None,
        description="The [lowest, highest] valid rating; a rating outside is an invalid value. Null without ratings.",
    )

    @field_validator("rating_range")
    @classmethod
    def _ascends(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError("should be [lowest, highest], the lowest below the highest")
        return bounds

    @property
    def has_ratings(self) -> bool:
        """Return whether every event must have a rating."""
        return self.rating_range is not None or names.RATING in self.columns


class Spans(Settings):
    """The selection of the deliveries that are read, for tables whose path contains `{SPAN}` or a date."""

    newest: int | None = Field(
        None, ge=1, le=10_000, description="The number of newest spans that are read together; 1 by default."
    )
    first: int | datetime.date | None = Field(
        None, description="The first span of a range that is read together: a number, or a date where paths mark dates."
    )
    last: int | datetime.date | None = Field(None, description="The last span of the range that begins at `first`.")

    @model_validator(mode="after")
    def _one_choice(self) -> "Spans":
        if (self.first is None) != (self.last is None) or (self.first is not None and self.newest is not None):
            raise ValueError("should have either `newest`, or both `first` and `last`")
        if self.first is not None and self.last is not None:
            if isinstance(self.first, int) != isinstance(self.last, int):
                raise ValueError("first and last should both be numbers or both be dates")
            if self.first > self.last:  # type: ignore[operator]
                raise ValueError(f"first should not be after last; found {self.first} and {self.last}")
        return self


class Data(Settings):
    """The tables."""

    RENAMED: ClassVar[Mapping[str, str]] = {"exposures": "impressions"}

    dataset: str | None = Field(None, description="A dataset fetched by `twostep data get`, instead of `root`.")
    root: str | None = Field(
        None,
        description="The folder of the tables, relative to the folder of this file; or a URI, `s3://BUCKET/PREFIX` or "
        "`gs://BUCKET/PREFIX`. Needed by tables with a `path`.",
    )
    spans: Spans = Field(
        default=Spans(),
        description="The deliveries that are read, for all tables whose path contains `{SPAN}` or a date such as "
        "`{YYYY}-{MM}-{DD}`.",
    )
    interactions: Interactions = Field(
        default=Interactions(path="interactions.parquet"), description="The table of interactions."
    )
    users: Table | None = Field(
        default=Table(path="users.parquet"),
        description="The table of users, one row per user. Null if there is no such table; the users are then those of "
        "the interactions and have no features.",
    )
    items: Table = Field(default=Table(path="items.parquet"), description="The items, one row per item: the catalogue.")
    impressions: Events | None = Field(
        None,
        description="The items that users were shown, whether or not they were followed by an event: user_id, item_id "
        "and timestamp. Used only by `ranking.negatives.impressions`.",
    )
    title: str | None = Field(
        None, description="The column of the items that holds their titles, for reports and recommendations."
    )
    owner: str | None = Field(
        None,
        description="The column of the items with the id of the user to whom an item belongs, such as a seller or an "
        "author. `twostep serve` does not recommend an item to this user; the evaluation has such items.",
    )
    exclude_seen: bool = Field(True, description="Whether seen items are excluded from recommendations.")
    schema_folder: str | None = Field(
        None,
        description="The folder of frozen schemas (`<table>.pbtxt`), relative to the folder of this file; null to "
        "infer them.",
    )

    @field_validator("root")
    @classmethod
    def _folder_or_uri(cls, root: str | None) -> str | None:
        if root is None or not uris.is_uri(root):
            return root
        try:
            return str(uris.parse(root))
        except UsageError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _one_place(self) -> "Data":
        if self.dataset is not None and self.root is not None:
            raise ValueError("should have either `dataset` or `root`")
        if (
            self.dataset is None
            and self.root is None
            and any(isinstance(each, str) for each in self.locations.values())
        ):
            raise ValueError("should have either `dataset` or `root`")
        if self.dataset is not None and self.dataset not in datasets.NAMES:
            raise ValueError(f"dataset should be one of {', '.join(datasets.NAMES)}; found {self.dataset!r}")
        for table in (self.users, self.items):
            if table is not None and table.on_duplicate == "keep":
                raise ValueError("on_duplicate of users and items should be `error` or `drop`: their keys are unique")
        return self

    @model_validator(mode="after")
    def _spans_fit_paths(self) -> "Data":
        dated = [path for path in self.paths.values() if is_dated(path)]
        by_date = {"{YYYY}" in path for path in dated}
        if len(by_date) > 1:
            raise ValueError("the paths of all tables should mark spans in the same way, as {SPAN} or as dates")
        if self.spans != Spans() and not dated:
            raise ValueError("spans selects deliveries, but no path of a table marks them. Mark them with {SPAN}")
        if self.spans.first is not None and by_date == {isinstance(self.spans.first, int)}:
            raise ValueError("spans.first and spans.last should be dates where paths mark dates, otherwise numbers")
        return self

    @property
    def paths(self) -> dict[str, str]:
        """Return table → its path, or the URI of another source."""
        return {
            table: location if isinstance(location, str) else location.uri for table, location in self.locations.items()
        }

    @property
    def locations(self) -> dict[str, Location]:
        """Return table → where it comes from."""
        return {table: getattr(self, table).location for table in self.tables}

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of the configured tables."""
        return tuple(table for table in (*names.TABLES, names.IMPRESSIONS) if getattr(self, table) is not None)
