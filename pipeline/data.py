"""Of a configuration, where the tables lie and how they are read."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from core import names
from core.settings import Settings
from pipeline import datasets

Policy = Literal["error", "drop"]


class Table(Settings):
    """Where a table lies and how to read it."""

    path: str = Field(description="File or glob below `data.root`; `{SPAN}` (and `{VERSION}`) mark dated deliveries.")
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

    @field_validator("path")
    @classmethod
    def _below_root(cls, path: str) -> str:
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError("should be a path below data.root, without '..'")
        if not re.search(r"\.(csv|tsv|txt|parquet)$", path):
            raise ValueError("should end in .csv, .tsv, .txt or .parquet, which says how to read it")
        return path


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

    @property
    def has_ratings(self) -> bool:
        """Whether every event is to have a rating."""
        return self.rating_range is not None or names.RATING in self.columns


class Data(Settings):
    """The tables."""

    dataset: str | None = Field(None, description="A dataset fetched by `twostep data get`; takes the place of `root`.")
    root: str | None = Field(None, description="The folder the tables lie in, from this file's folder.")
    interactions: Interactions = Field(default=Interactions(path="interactions.parquet"), description="The events.")
    users: Table = Field(default=Table(path="users.parquet"), description="One row a user.")
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
            if table.on_duplicate == "keep":
                raise ValueError(
                    "on_duplicate of users and items should be `error` or `drop`: a key stands for one row"
                )
        return self

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables there are."""
        return names.TABLES if self.exposures is None else (*names.TABLES, names.EXPOSURES)
