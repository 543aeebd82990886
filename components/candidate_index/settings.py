"""The settings of CandidateIndex, including the configuration of the index."""

from typing import Literal

from pydantic import Field

from core.settings import Settings
from transform.features import Features


class Index(Settings):
    """The index over the catalogue."""

    kind: Literal["exact", "hnsw"] = Field(
        "exact",
        description="`exact`: the model scores all items; `hnsw`: an approximate graph index, for large catalogues.",
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
