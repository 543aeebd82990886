"""The settings of DriftDetector: the configured bounds, and the columns that are compared."""

from typing import Literal

from pydantic import Field

from core.settings import Settings


class Drift(Settings):
    """The bounds of the drift of a delivery from the delivery of the release in force."""

    action: Literal["report", "stop"] = Field(
        "report",
        description="The action on a drift beyond a bound: `report` it, or `stop` the run before the join.",
    )
    min_row_ratio: float = Field(
        0.5,
        ge=0,
        le=1,
        description="The lowest accepted ratio of a table's number of rows to that in the delivery of the release in "
        "force.",
    )
    max_row_ratio: float = Field(
        2.0,
        ge=1,
        le=1_000_000,
        description="The highest accepted ratio of a table's number of rows to that in the delivery of the release in "
        "force.",
    )
    max_missing_change: float = Field(
        0.1, ge=0, le=1, description="The highest accepted absolute change of a column's share of missing values."
    )
    max_distance: float = Field(
        0.3,
        ge=0,
        le=1,
        description="The highest accepted distance of the values of a column, from 0 (equal) to 1: Jensen-Shannon "
        "divergence of numbers, or the largest change of the share of a single string.",
    )
    max_median_ratio: float = Field(
        3.0,
        ge=1,
        le=1_000_000,
        description="The highest accepted ratio of a numeric column's median to its former median, or the reverse: 3 "
        "accepts from a third of the former median to three times as much.",
    )


class DetectorSettings(Settings):
    """The settings of DriftDetector."""

    bounds: Drift = Field(description="The bounds of each measure of drift.")
    columns: dict[str, dict[str, Literal["values", "missing"]]] = Field(
        description="Table -> column -> `values`: compare the values and the share of missing ones; `missing`: "
        "compare only the share of missing ones, as for keys, text and timestamps."
    )
    releases: str = Field(description="The folder or URI of the releases.")
    trusted_keys: tuple[str, ...] = Field(
        (), description="Files of public keys, one of which must have signed a release; empty to accept unsigned ones."
    )
