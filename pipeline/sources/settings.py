"""The settings of tables that are not files, and the registry of the kinds of sources. No client is imported here."""

import hashlib
import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from core.settings import Settings

_PROJECT = r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{2,62}"  # a project may belong to a domain
_TABLE = re.compile(rf"{_PROJECT}\.[A-Za-z0-9_]{{1,1024}}\.[^`.\s/]{{1,1024}}")
_PROJECT_SETTING = re.compile(_PROJECT)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,1024}")
_CELL = re.compile(r"[A-Za-z0-9_.-]+:.+")


class SourceSettings(Settings):
    """A source of a table that is read by a client. Credentials are never settings.

    Attributes:
      MODULE: the module that reads it, with the functions of `pipeline.sources.reading.Reader`.
    """

    MODULE: ClassVar[str]

    project: str | None = Field(
        None,
        description="The Google Cloud project that requests are made in; that of the application default credentials "
        "by default.",
    )

    @property
    def uri(self) -> str:
        """Return the source as text, for messages and the lineage."""
        raise NotImplementedError

    @field_validator("project")
    @classmethod
    def _is_project(cls, project: str | None) -> str | None:
        if project is not None and not _PROJECT_SETTING.fullmatch(project):
            raise ValueError("should be the id of a project, of lower-case letters, digits and dashes")
        return project


class BigQuery(SourceSettings):
    """A table of BigQuery, or the result of a query."""

    MODULE: ClassVar[str] = "pipeline.sources.bigquery"

    table: str | None = Field(None, description="A table or view, `project.dataset.table`.")
    query: str | None = Field(
        None,
        min_length=1,
        description="A query in GoogleSQL, in place of `table`. `ORDER BY` all columns of the key gives the same rows "
        "the same cache key.",
    )
    parameters: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Name → value of a query parameter, which the query calls `@name`."
    )
    location: str | None = Field(
        None, pattern=r"^[A-Za-z0-9-]+$", description="The location of the data, such as `EU`, if it is not detected."
    )
    max_bytes_billed: int | None = Field(
        None,
        ge=1,
        le=10**18,
        description="The maximum bytes that a query may be billed for; one that needs more is not run.",
    )

    @field_validator("table")
    @classmethod
    def _is_table(cls, table: str | None) -> str | None:
        if table is not None and not _TABLE.fullmatch(table):
            raise ValueError("should be project.dataset.table")
        return table

    @model_validator(mode="after")
    def _one_of_both(self) -> "BigQuery":
        if (self.table is None) == (self.query is None):
            raise ValueError("should have either `table` or `query`")
        if self.table is not None and self.parameters:
            raise ValueError("`parameters` belong to a `query`; a table has none")
        return self

    @property
    def uri(self) -> str:
        """Return the table, or the project and the digest of the query with its parameters."""
        if self.table is not None:
            return f"bigquery://{self.table}"
        digest = hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]
        return f"bigquery://{self.project or 'default'}/query/{digest}"


class Bigtable(SourceSettings):
    """A table of Bigtable, of which each row is a row of the table."""

    MODULE: ClassVar[str] = "pipeline.sources.bigtable"

    instance: str = Field(description="The id of the instance.")
    table: str = Field(description="The id of the table.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Column name → `family:qualifier` of the cells that hold it, as text. The newest cell is read.",
    )
    row_key: str | None = Field(None, description="The name of the column that holds the row keys; null to leave out.")

    @field_validator("instance", "table")
    @classmethod
    def _is_id(cls, name: str) -> str:
        return _checked_name(name)

    @model_validator(mode="after")
    def _has_columns(self) -> "Bigtable":
        wrong = [cell for cell in self.columns.values() if not _CELL.fullmatch(cell)]
        if wrong:
            raise ValueError(f"columns should name cells as family:qualifier; found {wrong[0]!r}")
        if not self.columns and self.row_key is None:
            raise ValueError("should have `columns`, `row_key` or both: no column would be read")
        if self.row_key in self.columns:
            raise ValueError(f"row_key and columns both name the column {self.row_key!r}. Rename one")
        return self

    @property
    def uri(self) -> str:
        """Return the project, if it is set, the instance and the table."""
        return "bigtable://" + "/".join(filter(None, [self.project, self.instance, self.table]))


class Spanner(SourceSettings):
    """A table of Spanner, or the result of a query."""

    MODULE: ClassVar[str] = "pipeline.sources.spanner"

    instance: str = Field(description="The id of the instance.")
    database: str = Field(description="The id of the database.")
    table: str | None = Field(None, description="A table, of which all columns are read.")
    query: str | None = Field(None, min_length=1, description="A query in GoogleSQL, in place of `table`.")

    @field_validator("instance", "database", "table")
    @classmethod
    def _is_id(cls, name: str | None) -> str | None:
        return None if name is None else _checked_name(name)

    @model_validator(mode="after")
    def _one_of_both(self) -> "Spanner":
        if (self.table is None) == (self.query is None):
            raise ValueError("should have either `table` or `query`")
        return self

    @property
    def uri(self) -> str:
        """Return the database with the table, or with the digest of the query."""
        digest = f"query/{hashlib.sha256((self.query or '').encode()).hexdigest()[:16]}"
        return "spanner://" + "/".join(filter(None, [self.project, self.instance, self.database, self.table or digest]))


# The key of a table in a configuration → the settings of its source. A further source is a class with a module.
SOURCES: Mapping[str, type[SourceSettings]] = {"bigquery": BigQuery, "bigtable": Bigtable, "spanner": Spanner}


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("should be an id of letters, digits and `_.-`")
    return name
