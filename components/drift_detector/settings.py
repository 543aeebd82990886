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
        description="The lowest accepted ratio of a table's number of rows to the number in the delivery in force.",
    )
    max_row_ratio: float = Field(
        2.0,
        ge=1,
        le=1_000_000,
        description="The highest accepted ratio of a table's number of rows to the number in the delivery in force.",
    )
    max_missing_change: float = Field(
        0.1, ge=0, le=1, description="The highest accepted change of the share of missing values of a column."
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
        description="The highest accepted ratio of medians, in either direction: 3 accepts between a third and three "
        "times.",
    )


class DetectorSettings(Settings):
    """The settings of DriftDetector."""

    bounds: Drift = Field(description="The highest accepted drift, by measure.")
    columns: dict[str, dict[str, Literal["values", "missing"]]] = Field(
        description="Table -> column -> `values`: compare the values and the share of missing ones; `missing`: "
        "compare only the share of missing ones, as for keys, text and timestamps."
    )
    releases: str = Field(description="The folder of the releases.")
    trusted_keys: tuple[str, ...] = Field((), description="Files of public keys that a release must be signed with.")
