"""The settings of `two_tower`. No TensorFlow here."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from core.settings import Settings
from trainer.tuning.space import among, between


class TwoTowerSettings(Settings):
    """Query and candidate network, compared by dot product (Yi et al., 2019)."""

    RENAMED: ClassVar[Mapping[str, str]] = {
        "history_read": "max_history",
        "in_order": "causal_history",
        "skip_met": "exclude_positives",
    }

    dim: int = Field(
        64,
        ge=2,
        le=4096,
        description="The size of the query and candidate embeddings.",
        json_schema_extra=between(16, 256, log=True),
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=16_384)], ...] = Field(
        (),
        max_length=32,
        description="The sizes of the hidden layers of each tower.",
        json_schema_extra=among((), (64,), (128, 64)),
    )
    history: Literal["mean", "gru", "sasrec"] = Field(
        "mean",
        description="The encoder of the history: a mean, a recurrent network, or self-attention.",
        json_schema_extra=among("mean", "gru", "sasrec"),
    )
    blocks: int = Field(1, ge=1, le=64, description="The number of self-attention blocks of `sasrec`.")
    max_history: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="The maximum number of items of a history that are encoded, the latest ones; null for all. With "
        "`causal_history: false`, training uses as many other events of the user, in random order.",
    )
    causal_history: bool = Field(
        True,
        description="Whether the history of a training event contains earlier events only; false for all other events "
        "of the user, if their order carries no information.",
    )
    epochs: int = Field(
        20,
        ge=1,
        le=10_000,
        description="The maximum number of passes over train; the model after the pass with the highest NDCG@10 on "
        "eval is kept.",
    )
    patience: int = Field(
        3,
        ge=1,
        le=10_000,
        description="The number of passes without improvement of NDCG@10 on eval after which training stops; 1 with a "
        "warm start.",
    )
    batch_size: int = Field(
        1024,
        ge=2,
        le=1_048_576,
        description="The approximate number of events per training step. More take less time per event and make fewer "
        "steps.",
        json_schema_extra=between(256, 4096, log=True),
    )
    negatives: int = Field(
        1024,
        ge=1,
        le=1_048_576,
        description="The maximum number of events of a training step whose items are negatives of its other events. "
        "More take longer and estimate the loss over the catalogue better.",
        json_schema_extra=between(256, 4096, log=True),
    )
    uniform_negatives: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="The number of negatives sampled uniformly from the catalogue per training step.",
    )
    hard_negatives: int = Field(
        0,
        ge=0,
        le=10_000,
        description="The number of hard negatives per event: the items with the highest scores among 4,096 that are "
        "sampled per training step.",
    )
    exclude_positives: bool = Field(
        False,
        description="Whether the other items of an event's user are excluded from the event's negatives; false suits "
        "users who interact with items repeatedly.",
    )
    learning_rate: float = Field(
        0.003, gt=0, le=10, description="The learning rate of Adam.", json_schema_extra=between(0.0005, 0.02, log=True)
    )
    temperature: float = Field(
        0.1,
        gt=0,
        le=1000,
        description="The temperature that the cosine of query and candidate is divided by in the loss; smaller values "
        "give more weight to the negatives with the highest scores.",
        json_schema_extra=between(0.03, 0.5, log=True),
    )
    dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="The dropout rate of the query tower's input and of the encoders `gru` and `sasrec`.",
        json_schema_extra=between(0, 0.6),
    )
    id_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="The share of ids that training replaces by out-of-vocabulary ids, so that the towers learn to "
        "embed cold users and items by their features.",
        json_schema_extra=between(0, 0.5),
    )

    def history_length(self, longest: int) -> int:
        """Return the maximum number of items of a history that are encoded, of at most `longest`."""
        return min(self.max_history or longest, longest)

    @model_validator(mode="after")
    def _check_order(self) -> "TwoTowerSettings":
        """Check that the encoders `gru` and `sasrec` have ordered histories. Raises: ValueError."""
        if self.history != "mean" and not self.causal_history:
            raise ValueError(f"history: {self.history} needs ordered histories; set `causal_history: true`")
        return self
