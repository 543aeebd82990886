"""The settings of the ranking models. No TensorFlow here."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import among, between


class RankingSettings(Settings):
    """The settings of every ranking model."""

    calibration: Literal["none", "platt", "isotonic"] = Field(
        "platt",
        description="The calibration of scores to probabilities, fitted on held-out lists: `platt` fits a sigmoid, "
        "`isotonic` an ascending curve; `none` takes the sigmoid of the score.",
    )


class TrainedSettings(RankingSettings):
    """The settings of the training of a network."""

    loss: Literal["softmax", "pointwise", "pairwise", "lambda", "approx_ndcg"] = Field(
        "softmax",
        description="The loss: listwise (softmax, lambda, approx_ndcg), pairwise or pointwise.",
        json_schema_extra=among("softmax", "pointwise", "pairwise", "lambda", "approx_ndcg"),
    )
    epochs: int = Field(
        30,
        ge=1,
        le=10_000,
        description="The maximum number of passes over the training lists; the model after the pass with the highest "
        "NDCG@10 on held-out lists is kept.",
    )
    patience: int = Field(
        4,
        ge=1,
        le=10_000,
        description="The number of passes without improvement of NDCG@10 on held-out lists after which training stops.",
    )
    batch_size: int = Field(
        32,
        ge=1,
        le=65_536,
        description="The number of candidate lists per training step.",
        json_schema_extra=between(8, 128, log=True),
    )
    learning_rate: float = Field(
        0.0003,
        gt=0,
        le=10,
        description="The learning rate of Adam.",
        json_schema_extra=between(0.00005, 0.003, log=True),
    )


class NetworkSettings(TrainedSettings):
    """The settings of networks with embeddings."""

    dim: int = Field(
        16,
        ge=2,
        le=1024,
        description="The size of the embedding of a categorical value.",
        json_schema_extra=between(4, 64, log=True),
    )
    history: Literal["mean", "attention"] = Field(
        "mean",
        description="The pooling of the embeddings of the history's items: their mean, or a sum weighted by attention "
        "for each candidate (DIN; Zhou et al., 2018).",
        json_schema_extra=among("mean", "attention"),
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=16_384)], ...] = Field(
        (64, 32),
        max_length=32,
        description="The sizes of the hidden layers, from the input to the output.",
        json_schema_extra=among((), (32,), (64, 32), (128, 64)),
    )
    dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="The dropout rate of the inputs and of the hidden layers.",
        json_schema_extra=between(0, 0.5),
    )


class LogisticSettings(TrainedSettings):
    """Linear model with a weight for each signal, each numeric feature and each value of the other features."""


class LinearSettings(RankingSettings):
    """Linear model of scores that are standardised within the query, fitted to the listwise softmax by L-BFGS."""

    l2: float = Field(
        0.03,
        gt=0,
        le=1_000,
        description="The penalty on the squared weights, in the mean loss of a list.",
        json_schema_extra=between(0.0001, 1, log=True),
    )


class MLPSettings(NetworkSettings):
    """Hidden layers over the concatenated inputs of a candidate (Covington et al., 2016)."""


class DeepFMSettings(NetworkSettings):
    """Factorisation machine and hidden layers (Guo et al., 2017)."""


class DCNSettings(NetworkSettings):
    """Deep and cross network, version 2 (Wang et al., 2021)."""

    cross_layers: int = Field(
        2, ge=1, le=64, description="The number of cross layers.", json_schema_extra=between(1, 3)
    )


class MMoESettings(NetworkSettings):
    """Multi-gate mixture of experts for relevance and rating (Ma et al., 2018)."""

    RENAMED: ClassVar[Mapping[str, str]] = {
        "rating_loss": "rating_loss_weight",
        "rating_in_score": "rating_score_weight",
    }

    experts: int = Field(
        4, ge=1, le=256, description="The number of experts that the tasks share.", json_schema_extra=between(2, 8)
    )
    rating_loss_weight: float = Field(
        0.1,
        ge=0,
        le=1000,
        description="The weight of the squared error of predicted ratings, which is added to the loss of relevance.",
        json_schema_extra=between(0, 1),
    )
    rating_score_weight: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="The weight of the predicted rating, in standard deviations from the mean rating, that is added to "
        "the relevance to give the score; 0 ranks by relevance alone.",
        json_schema_extra=between(0, 1),
    )


class TreesSettings(RankingSettings):
    """Gradient boosted trees fitted to NDCG (LambdaMART; Burges, 2010), by YDF."""

    RENAMED: ClassVar[Mapping[str, str]] = {"inputs": "feature_fraction"}

    trees: int = Field(
        300,
        ge=1,
        le=100_000,
        description="The maximum number of trees; early stopping on held-out lists determines how many are kept.",
    )
    depth: int = Field(5, ge=1, le=16, description="The maximum depth of a tree.", json_schema_extra=between(2, 8))
    shrinkage: float = Field(
        0.1,
        gt=0,
        le=1,
        description="The factor by which the output of each tree is multiplied; smaller values need more trees.",
        json_schema_extra=between(0.02, 0.3, log=True),
    )
    min_examples: int = Field(
        20,
        ge=1,
        le=1_000_000,
        description="The minimum number of candidates in a leaf; larger values give smaller trees.",
        json_schema_extra=between(5, 300, log=True),
    )
    l2: float = Field(
        5.0,
        ge=0,
        le=1_000_000,
        description="The penalty on the squared values of leaves; larger values shrink them towards 0.",
        json_schema_extra=between(0, 20),
    )
    subsample: float = Field(
        0.8,
        gt=0,
        le=1,
        description="The share of candidates, sampled for each tree, that the tree is fitted on.",
        json_schema_extra=between(0.5, 1),
    )
    feature_fraction: float = Field(
        0.5,
        gt=0,
        le=1,
        description="The share of inputs, sampled for each split in a tree, from which the split is chosen.",
        json_schema_extra=between(0.2, 1),
    )
    patience: int = Field(
        30,
        ge=1,
        le=10_000,
        description="The number of trees without improvement of NDCG@10 on held-out lists after which training stops.",
    )
