"""The settings of the models that count events. No TensorFlow here."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import among


class PopularitySettings(Settings):
    """Counts of the events of each item."""

    window_days: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="The length in days of the window before the latest event: items are ranked by their events in "
        "it, and ties are broken by all events. Null to rank by all events.",
        json_schema_extra=among(None, 7.0, 30.0, 90.0, 365.0),
    )
    segment: str | None = Field(
        None,
        description="A feature of users, with one category per user: items are ranked by the events of the users with "
        "the same category, and ties are broken by the events of all users. Null to rank by all users.",
    )


class RepeatsSettings(Settings):
    """The items of the history, by frequency and recency."""

    RENAMED: ClassVar[Mapping[str, str]] = {"aged": "decay", "of": "item_feature"}

    half_life: float | None = Field(
        500.0,
        gt=0,
        le=1_000_000,
        description="The number of later events after which the weight of an item in the history is halved; null for "
        "equal weights.",
        json_schema_extra=among(None, 10.0, 50.0, 200.0, 500.0, 2000.0),
    )
    decay: Literal["latest", "each"] = Field(
        "latest",
        description="The use of the half-life: `latest` multiplies an item's count by the weight of its latest event; "
        "`each` sums the weights of all its events.",
        json_schema_extra=among("latest", "each"),
    )
    item_feature: str | None = Field(
        None,
        description="A categorical feature of items whose values are counted instead of the items, such as the type "
        "of a product; null to count items.",
    )
