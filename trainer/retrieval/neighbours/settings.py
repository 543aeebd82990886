"""The settings of the neighbourhood models. No TensorFlow here."""

from typing import Literal

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import among, between

Similarity = Literal["cosine", "jaccard"]
Weighting = Literal["none", "tf_idf", "bm25"]


class ItemKNNSettings(Settings):
    """Item-based nearest neighbours (Deshpande & Karypis, 2004)."""

    neighbours: int = Field(
        50,
        ge=1,
        le=10_000,
        description="The maximum number of neighbours kept for each item.",
        json_schema_extra=between(10, 500, log=True),
    )
    shrinkage: float = Field(
        10.0,
        ge=0,
        le=1_000_000,
        description="The constant added to the denominator of a similarity, in units of the mean squared weight of an "
        "event; larger values favour pairs with many common events.",
        json_schema_extra=between(0, 100),
    )
    similarity: Similarity = Field(
        "cosine",
        description="The similarity of two items, computed from the vectors of their users' weights.",
        json_schema_extra=among("cosine", "jaccard"),
    )
    weighting: Weighting = Field(
        "tf_idf",
        description="The weight of a user in the vector of an item; `none` for equal weights.",
        json_schema_extra=among("none", "tf_idf", "bm25"),
    )
    half_life: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="The number of later events after which the weight of an item in the history is halved; null for "
        "equal weights.",
        json_schema_extra=among(None, 1.0, 3.0, 10.0, 30.0, 100.0),
    )


class UserKNNSettings(Settings):
    """User-based nearest neighbours (Resnick et al., 1994)."""

    neighbours: int = Field(
        50,
        ge=1,
        le=10_000,
        description="The maximum number of similar users whose items are scored.",
        json_schema_extra=between(10, 500, log=True),
    )
    shrinkage: float = Field(
        10.0,
        ge=0,
        le=1_000_000,
        description="The constant added to the denominator of a similarity, in units of the mean squared weight of an "
        "event; larger values favour pairs with many common events.",
        json_schema_extra=between(0, 100),
    )
    similarity: Similarity = Field(
        "cosine",
        description="The similarity of two users, computed from the vectors of their items' weights.",
        json_schema_extra=among("cosine", "jaccard"),
    )
    weighting: Weighting = Field(
        "tf_idf",
        description="The weight of an item in the vector of a user; `none` for equal weights.",
        json_schema_extra=among("none", "tf_idf", "bm25"),
    )


class CoVisitationSettings(Settings):
    """Items that users met within a short time of each other (Davidson et al., 2010)."""

    seconds: int = Field(
        120,
        ge=0,
        le=1_000_000_000,
        description="The largest difference of the times of two events that count as a pair.",
        json_schema_extra=among(30, 120, 600, 3600, 86_400),
    )
    popularity_exponent: float = Field(
        0.25,
        ge=0,
        le=1,
        description="The exponent of the recommended item's popularity in the denominator; that of the item in the "
        "history is 1 minus this. Larger values favour rare items.",
        json_schema_extra=between(0, 1),
    )
    shrinkage: float = Field(
        10.0,
        ge=0,
        le=1_000_000,
        description="The constant added to the denominator, in events; larger values favour items with many events.",
        json_schema_extra=between(0, 100),
    )
    neighbours: int = Field(
        200,
        ge=1,
        le=10_000,
        description="The maximum number of neighbours kept for each item.",
        json_schema_extra=between(10, 500, log=True),
    )
    half_life: float | None = Field(
        3.0,
        gt=0,
        le=1_000_000,
        description="The number of later events after which the weight of an item in the history is halved; null for "
        "equal weights.",
        json_schema_extra=among(None, 1.0, 3.0, 10.0, 30.0, 100.0),
    )
