"""The settings of CandidateIndex, including the configuration of the index."""

from typing import Literal

from pydantic import Field

from core.settings import Settings
from transform.features import Features


class Index(Settings):
    """The index over the catalogue."""

    kind: Literal["exact", "hnsw", "ivf"] = Field(
        "exact",
        description="How items are found by their embeddings: `exact` compares a query with all of them; for large "
        "catalogues, `ivf` with those in the nearest clusters, and `hnsw` with those along a graph.",
    )
    min_recall: float = Field(
        0.95,
        ge=0,
        le=1,
        description="The lowest accepted recall of the index against exact search; below it the run fails.",
    )


class IndexSettings(Settings):
    """The settings of CandidateIndex."""

    features: Features = Field(description="The feature configuration.")
    index: Index = Field(description="The index over the catalogue.")
    seed: int = Field(description="The seed of the sample of users whose queries measure the recall of the index.")
