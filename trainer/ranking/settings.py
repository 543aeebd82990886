"""The settings of each ranking model, apart from the models so that a check needs no TensorFlow."""

from typing import Annotated, Literal

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import among, between


class RankerSettings(Settings):
    """What every ranking model has."""

    calibration: Literal["none", "platt", "isotonic"] = Field(
        "platt", description="How scores become probabilities, fitted on held-out lists; none takes their sigmoid."
    )


class TrainedSettings(RankerSettings):
    """How a network is fitted."""

    loss: Literal["softmax", "pointwise", "pairwise", "lambda", "approx_ndcg"] = Field(
        "softmax",
        description="Over the list (softmax, lambda, approx_ndcg), pairs of its candidates, or each candidate alone.",
        json_schema_extra=among("softmax", "pointwise", "pairwise", "lambda", "approx_ndcg"),
    )
    epochs: int = Field(
        30, ge=1, le=10_000, description="The most passes over train; held-out queries say which was best."
    )
    patience: int = Field(4, ge=1, le=10_000, description="Passes without gain before it stops.")
    batch_size: int = Field(
        32,
        ge=1,
        le=65_536,
        description="Queries a step, each with its whole list.",
        json_schema_extra=between(8, 128, log=True),
    )
    learning_rate: float = Field(
        0.0003, gt=0, le=10, description="Of Adam.", json_schema_extra=between(0.00005, 0.003, log=True)
    )


class NetworkSettings(TrainedSettings):
    """What networks with embeddings have."""

    dim: int = Field(
        16,
        ge=2,
        le=1024,
        description="Size of the embedding of a categorical value.",
        json_schema_extra=between(4, 64, log=True),
    )
    history: Literal["mean", "attention"] = Field(
        "mean",
        description="What the user met: its mean, or weighed anew for each candidate (DIN; Zhou et al., 2018).",
        json_schema_extra=among("mean", "attention"),
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=16_384)], ...] = Field(
        (64, 32),
        max_length=32,
        description="Sizes of the deep layers.",
        json_schema_extra=among((), (32,), (64, 32), (128, 64)),
    )
    dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of the deep layers dropped in training.", json_schema_extra=between(0, 0.5)
    )


class LogisticSettings(TrainedSettings):
    """A line: one weight a signal, a number and a feature's value."""


class MLPSettings(NetworkSettings):
    """Deep layers over everything side by side."""


class DeepFMSettings(NetworkSettings):
    """Factorisation machine beside deep layers (Guo et al., 2017)."""


class DCNSettings(NetworkSettings):
    """Deep and cross network, version 2 (Wang et al., 2021)."""

    cross_layers: int = Field(2, ge=1, le=64, description="Cross layers.", json_schema_extra=between(1, 3))


class MMoESettings(NetworkSettings):
    """Mixture of experts with a gate a task, relevance and rating (Ma et al., 2018)."""

    experts: int = Field(4, ge=1, le=256, description="Networks that the tasks share.", json_schema_extra=between(2, 8))
    rating_loss: float = Field(
        0.1,
        ge=0,
        le=1000,
        description="Weight of the rating's squared error beside the relevance's loss.",
        json_schema_extra=between(0, 1),
    )
    rating_in_score: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="How much a predicted rating, in deviations from the mean one, adds to the score.",
        json_schema_extra=between(0, 1),
    )


class TreesSettings(RankerSettings):
    """Gradient boosted trees that climb NDCG (LambdaMART; Burges, 2010), by YDF."""

    trees: int = Field(300, ge=1, le=100_000, description="The most trees; held-out queries say how many are kept.")
    depth: int = Field(
        5, ge=1, le=16, description="The most questions on the way to a leaf.", json_schema_extra=between(2, 8)
    )
    shrinkage: float = Field(
        0.1, gt=0, le=1, description="Share of a tree that is added.", json_schema_extra=between(0.02, 0.3, log=True)
    )
    min_examples: int = Field(
        20,
        ge=1,
        le=1_000_000,
        description="The fewest candidates in a leaf.",
        json_schema_extra=between(5, 300, log=True),
    )
    l2: float = Field(
        5.0, ge=0, le=1_000_000, description="Penalty of the squared leaves.", json_schema_extra=between(0, 20)
    )
    subsample: float = Field(
        0.8, gt=0, le=1, description="Share of the candidates that a tree sees.", json_schema_extra=between(0.5, 1)
    )
    inputs: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the inputs that a question is chosen from.",
        json_schema_extra=between(0.2, 1),
    )
    patience: int = Field(30, ge=1, le=10_000, description="Trees without gain before it stops.")
