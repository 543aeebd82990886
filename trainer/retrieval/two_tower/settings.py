"""The settings of the two-tower, apart from the model so that a check needs no TensorFlow."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.settings import Settings
from trainer.tuning.space import among, between


class TwoTowerSettings(Settings):
    """A query and a candidate network, compared by dot product (Yi et al., 2019)."""

    dim: int = Field(
        64,
        ge=2,
        le=4096,
        description="Size of the query and candidate embeddings.",
        json_schema_extra=between(16, 256, log=True),
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=16_384)], ...] = Field(
        (),
        max_length=32,
        description="Sizes of the hidden layers of each tower.",
        json_schema_extra=among((), (64,), (128, 64)),
    )
    history: Literal["mean", "gru", "sasrec"] = Field(
        "mean",
        description="What makes one vector of a history: a mean, a recurrent network, or self-attention.",
        json_schema_extra=among("mean", "gru", "sasrec"),
    )
    blocks: int = Field(1, ge=1, le=64, description="Blocks of self-attention of `sasrec`.")
    history_read: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="The most items of a history that are read, the latest; null reads all. Where order says nothing, "
        "training reads a sample of as many.",
    )
    in_order: bool = Field(
        True,
        description="Whether training takes a user's earlier events for the history; false takes all others, where "
        "their order says nothing.",
    )
    epochs: int = Field(20, ge=1, le=10_000, description="The most passes over train; eval says which was best.")
    patience: int = Field(3, ge=1, le=10_000, description="Passes without gain on eval before it stops.")
    batch_size: int = Field(
        1024,
        ge=2,
        le=1_048_576,
        description="Events a step; the others of a batch are the negatives.",
        json_schema_extra=between(256, 4096, log=True),
    )
    uniform_negatives: int = Field(
        0, ge=0, le=1_000_000, description="Items of the whole catalogue drawn beside them in each step."
    )
    hard_negatives: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Of some thousand items drawn in each step, each event's closest that are negatives too.",
    )
    skip_met: bool = Field(
        False, description="Whether no item that a user met is a negative for them; not where items are met again."
    )
    learning_rate: float = Field(
        0.003, gt=0, le=10, description="Of Adam.", json_schema_extra=between(0.0005, 0.02, log=True)
    )
    temperature: float = Field(
        0.1,
        gt=0,
        le=1000,
        description="Divides the cosine of query and candidate.",
        json_schema_extra=between(0.03, 0.5, log=True),
    )
    dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the query tower's input dropped in training.",
        json_schema_extra=between(0, 0.6),
    )
    id_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of ids hidden in training, so that features learn to speak for new ones.",
        json_schema_extra=between(0, 0.5),
    )

    @model_validator(mode="after")
    def _order_for_sequences(self) -> "TwoTowerSettings":
        if self.history != "mean" and not self.in_order:
            raise ValueError(f"history: {self.history} reads an order, which `in_order: false` says there is none of")
        return self
