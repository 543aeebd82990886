"""The settings of each ranking model, apart from the models so that a check needs no TensorFlow."""

from typing import Literal

from pydantic import Field

from core.settings import Settings


class DCNSettings(Settings):
    """Deep and cross network, version 2 (Wang et al., 2021)."""

    dim: int = Field(16, ge=2, description="Size of the embedding of a categorical value.")
    cross_layers: int = Field(2, ge=1, description="Cross layers.")
    hidden: tuple[int, ...] = Field((64, 32), description="Sizes of the deep layers.")
    loss: Literal["softmax", "pointwise"] = Field(
        "softmax", description="Over the list of candidates, or for each alone."
    )
    epochs: int = Field(30, ge=1, description="The most passes over train; held-out queries say which was best.")
    patience: int = Field(4, ge=1, description="Passes without gain before it stops.")
    batch_size: int = Field(32, ge=1, description="Queries a step, each with its whole list.")
    learning_rate: float = Field(0.0003, gt=0, description="Of Adam.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of the deep layers dropped in training.")
