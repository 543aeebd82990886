"""The rules of a request: pins, promotions and caps. No NumPy and no Arrow here, since the client imports them."""

from typing import Literal

from pydantic import Field

from core.settings import Settings
from serving.conditions import Condition

Mark = Literal["pinned", "promoted"]  # the rule that an item of a list fulfils


class Pin(Settings):
    """An item that stands at a position, whatever the models say."""

    item: str = Field(min_length=1, max_length=512, description="The id of the item.")
    position: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="The position in the whole list, from 1; null for the first one that no other pin has.",
    )


class Promotion(Settings):
    """A share of the list for items that fulfil conditions."""

    filters: tuple[Condition, ...] = Field(
        min_length=1, max_length=32, description="Conditions on the attributes of items, all of which they fulfil."
    )
    share: float = Field(
        gt=0,
        le=1,
        description="The smallest share of such items: of the first i items, i times the share, rounded down.",
    )


class ListCap(Settings):
    """A maximum number of items of a list with the same value."""

    column: str = Field(description="The column of the items table.")
    at_most: int = Field(ge=1, le=10_000, description="The maximum number of items with the same value.")
