"""The settings of DriftDetector: the bounds of a configuration, and which columns are compared."""

from typing import Literal

from pydantic import Field

from core.settings import Settings


class Drift(Settings):
    """How far a delivery may be from the one that the release in force was made from."""

    action: Literal["report", "stop"] = Field(
        "report", description="A drift beyond a bound: `report` it and go on, or `stop` the run before the join."
    )
    min_row_ratio: float = Field(
        0.5, ge=0, le=1, description="Lowest number of rows of a table, as a ratio to the number before."
    )
    max_row_ratio: float = Field(
        2.0, ge=1, le=1_000_000, description="Highest number of rows of a table, as a ratio to the number before."
    )
    max_missing_change: float = Field(
        0.1, ge=0, le=1, description="Highest change in the share of rows of a column without a value."
    )
    max_distance: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Highest distance of the values of a column, from 0 (alike) to 1: Jensen-Shannon divergence of "
        "numbers, largest change in the share of one value of strings.",
    )
    max_median_ratio: float = Field(
        3.0,
        ge=1,
        le=1_000_000,
        description="Highest ratio of the medians of a column of numbers, upwards or downwards: 3 is 3-fold or a "
        "third.",
    )


class DetectorSettings(Settings):
    """What DriftDetector is configured with."""

    bounds: Drift = Field(description="The bounds.")
    columns: dict[str, dict[str, Literal["values", "missing"]]] = Field(
        description="Table -> column -> `values`: compare the values and the share of missing ones; `missing`: that "
        "share alone, as of keys, text and times."
    )
    releases: str = Field(description="The folder of the releases.")
    trusted_keys: tuple[str, ...] = Field((), description="Files of public keys that a release should be signed with.")
