"""Of a configuration, where the tables lie and how they are read."""

import datetime
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from core import names
from core.settings import Settings
from pipeline import datasets

Policy = Literal["error", "drop"]


_MARK = re.compile(r"\{([^{}]*)\}")
_DATE = ("YYYY", "MM", "DD")


def is_dated(path: str) -> bool:
    """Return whether a table's path marks spans, as numbers or as dates."""
    return "{SPAN" in path or "{YYYY}" in path


def _check_marks(path: str) -> None:
    """Raises: ValueError when the marks in a path are none that TFX knows, or do not fit together."""
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
        raise ValueError("should mark a span too where it marks a {VERSION}")


class Table(Settings):
    """Where a table lies and how to read it."""

    path: str = Field(
        description="File or glob below `data.root`; `{SPAN}` (and `{VERSION}`), or `{YYYY}`, `{MM}` and `{DD}`, mark "
        "dated deliveries, of which `data.spans` are read."
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="Canonical or feature column -> its name in the file, where they differ."
    )
    separator: str = Field(",", min_length=1, max_length=1, description="What stands between the fields of a CSV file.")
    on_invalid: Policy = Field(
        "error", description="A row with a missing key or a bad value: `error`, or `drop` and count."
    )
    on_duplicate: Literal["error", "drop", "keep"] = Field(
        "error",
        description="A repeated key, event or exposure: `error`, `drop` all but the first, or `keep` (not of users and "
        "items).",
    )
    max_dropped: float = Field(
        0.05,
        ge=0,
        le=1,
        description="The largest share of rows that may be dropped; a run with more stops.",
    )

    @field_validator("path")
    @classmethod
    def _below_root(cls, path: str) -> str:
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError("should be a path below data.root, without '..'")
        if not re.search(r"\.(csv|tsv|txt|parquet)$", path):
            raise ValueError("should end in .csv, .tsv, .txt or .parquet, which says how to read it")
        _check_marks(path)
        return path

    @field_validator("separator")
    @classmethod
    def _separates(cls, separator: str) -> str:
        if separator in '"\r\n\0':
            raise ValueError("should be no quote, no end of a line and no NUL")
        return separator


class Events(Table):
    """Rows of who, what and when."""

    on_unknown: Policy = Field(
        "error", description="A row whose user or item is in neither table: `error`, or `drop` and count."
    )


class Interactions(Events):
    """The events: who met what, and when."""

    rating_range: tuple[float, float] | None = Field(
        None,
        description="[lowest, highest] rating; a rating outside is a bad value. Leave out where there are no ratings.",
    )

    @field_validator("rating_range")
    @classmethod
    def _ascends(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError("should be [lowest, highest], the lowest below the highest")
        return bounds

    @property
    def has_ratings(self) -> bool:
        """Whether every event is to have a rating."""
        return self.rating_range is not None or names.RATING in self.columns


class Spans(Settings):
    """Which deliveries are read, of the tables whose paths mark spans."""

    newest: int | None = Field(
        None, ge=1, le=10_000, description="How many of the newest spans are read together; 1 by default."
    )
    first: int | datetime.date | None = Field(
        None, description="The first span of a range that is read together; a date where the paths mark dates."
    )
    last: int | datetime.date | None = Field(None, description="The last span of that range, itself read.")

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

    dataset: str | None = Field(None, description="A dataset fetched by `twostep data get`; takes the place of `root`.")
    root: str | None = Field(None, description="The folder the tables lie in, from this file's folder.")
    spans: Spans = Field(
        default=Spans(), description="Which deliveries are read, the same of every table whose path marks spans."
    )
    interactions: Interactions = Field(default=Interactions(path="interactions.parquet"), description="The events.")
    users: Table | None = Field(
        default=Table(path="users.parquet"),
        description="One row a user. With `null` there is no such table: users are those of the interactions, without "
        "features.",
    )
    items: Table = Field(default=Table(path="items.parquet"), description="One row an item: the catalogue.")
    exposures: Events | None = Field(
        None,
        description="What users were shown, chosen or not: user_id, item_id and timestamp. They are no events: only "
        "`ranking.negatives.exposed` takes from them.",
    )
    title: str | None = Field(None, description="The column of items that people read, for reports and answers.")
    exclude_seen: bool = Field(
        True, description="Whether an item the user has met may never be recommended to them again."
    )
    schema_folder: str | None = Field(
        None,
        description="Folder of frozen schemas (`<table>.pbtxt`), from this file's folder; by default inferred.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> "Data":
        if (self.dataset is None) == (self.root is None):
            raise ValueError("should have either `dataset` or `root`")
        if self.dataset is not None and self.dataset not in datasets.NAMES:
            raise ValueError(f"dataset should be one of {', '.join(datasets.NAMES)}; found {self.dataset!r}")
        for table in (self.users, self.items):
            if table is not None and table.on_duplicate == "keep":
                raise ValueError(
                    "on_duplicate of users and items should be `error` or `drop`: a key stands for one row"
                )
        return self

    @model_validator(mode="after")
    def _spans_fit_paths(self) -> "Data":
        dated = [path for path in self.paths.values() if is_dated(path)]
        by_date = {"{YYYY}" in path for path in dated}
        if len(by_date) > 1:
            raise ValueError("the paths of all tables should mark spans alike, as {SPAN} or as dates")
        if self.spans != Spans() and not dated:
            raise ValueError("spans chooses among deliveries, but no table's path marks them. Mark them with {SPAN}")
        if self.spans.first is not None and by_date == {isinstance(self.spans.first, int)}:
            raise ValueError("spans.first and spans.last should be dates where the paths mark dates, and else numbers")
        return self

    @property
    def paths(self) -> dict[str, str]:
        """Table → its path."""
        return {table: getattr(self, table).path for table in self.tables}

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables there are."""
        return tuple(table for table in (*names.TABLES, names.EXPOSURES) if getattr(self, table) is not None)
