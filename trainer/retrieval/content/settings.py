"""The settings of `content`. No TensorFlow here."""

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import among, between


class ContentSettings(Settings):
    """Items with features similar to the items of the history (Pazzani & Billsus, 2007)."""

    dim: int = Field(
        64,
        ge=2,
        le=4096,
        description="The maximum size of the embeddings; wider feature vectors are reduced to it.",
        json_schema_extra=between(16, 256, log=True),
    )
    half_life: float | None = Field(
        5.0,
        gt=0,
        le=1_000_000,
        description="The number of later events after which the weight of an item in the history is halved; null for "
        "equal weights.",
        json_schema_extra=among(None, 2.0, 5.0, 10.0, 50.0),
    )
