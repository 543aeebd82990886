"""The settings of CandidateGenerator, including the configuration of the negatives."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, model_validator

from core.query_settings import QuerySettings, WindowSettings
from core.settings import Settings
from transform.features import Features


class Negatives(Settings):
    """The items added to the candidates in the training lists of the ranker."""

    RENAMED: ClassVar[Mapping[str, str]] = {"exposed": "impressions"}

    popular: float = Field(0.0, ge=0, le=0.5, description="The share of a list that is drawn by popularity.")
    uniform: float = Field(0.0, ge=0, le=0.5, description="The share of a list that is drawn uniformly from all items.")
    impressions: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="The share of a list for items that the user was shown (`data.impressions`) but had no event with "
        "in the query's window. With fewer such items the list is shorter.",
    )
    missed_weight: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="The weight of missed items in the ranker's loss, where other items have weight 1; 0 leaves them "
        "out. Above 0 it requires `popular` or `uniform`, because with missed items alone the ranker learns to prefer "
        "items that are not retrieved.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> "Negatives":
        total = round(self.popular + self.uniform + self.impressions, 9)
        if total > 0.8:
            raise ValueError(
                "popular, uniform and impressions should be at most 0.8 together, so that candidates of the retriever "
                f"remain in the list; found {total:g}"
            )
        if self.missed_weight > 0 and self.popular + self.uniform == 0:
            raise ValueError("missed_weight should be 0 without sampled negatives: set `popular` or `uniform`")
        return self


class ImpressionSettings(Settings):
    """The checks of the table of impressions."""

    drop_unknown: bool = Field(
        description="Whether impressions of unknown users and items are dropped; if false, they are an error."
    )
    max_dropped: float = Field(
        ge=0, le=1, description="The largest share of the impressions that may be dropped; a larger one is an error."
    )


class GeneratorSettings(Settings):
    """The settings of CandidateGenerator."""

    features: Features = Field(description="The feature configuration.")
    candidates: int = Field(ge=1, description="The number of candidates that are retrieved for a query.")
    negatives: Negatives = Field(description="The items added to the candidates in training lists.")
    impressions: ImpressionSettings | None = Field(description="The checks of the impressions; null without a table.")
    queries: QuerySettings = Field(description="The queries of all splits.")
    max_queries: int = Field(ge=1, description="The maximum number of queries of eval, and of each window.")
    max_test_queries: int = Field(ge=1, description="The maximum number of test queries, for RankingEvaluator.")
    windows: WindowSettings = Field(
        description="The windows of train before eval; their queries give further training lists."
    )
    seed: int = Field(description="The seed of all samples.")
