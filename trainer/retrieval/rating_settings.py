"""The settings of the retrieval models that are fitted on ratings; see `settings` for the others."""

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import between


class SVDSettings(Settings):
    """Matrix factorisation of ratings with biases (Koren, Bell & Volinsky, 2009)."""

    factors: int = Field(
        100,
        ge=1,
        le=4096,
        description="Size of the users' and items' vectors.",
        json_schema_extra=between(20, 200, log=True),
    )
    regularization: float = Field(
        0.1,
        ge=0,
        le=1_000_000,
        description="Penalty of vectors and biases, a rating.",
        json_schema_extra=between(0.01, 0.5, log=True),
    )
    learning_rate: float = Field(
        0.01,
        gt=0,
        le=10,
        description="Of the stochastic gradient steps.",
        json_schema_extra=between(0.002, 0.05, log=True),
    )
    iterations: int = Field(
        50, ge=1, le=10_000, description="Passes over the ratings.", json_schema_extra=between(10, 100, log=True)
    )


class SVDppSettings(Settings):
    """SVD with what was rated as evidence of its own (Koren, 2008)."""

    factors: int = Field(
        20,
        ge=1,
        le=4096,
        description="Size of the users' and items' vectors.",
        json_schema_extra=between(10, 100, log=True),
    )
    regularization: float = Field(
        0.08,
        ge=0,
        le=1_000_000,
        description="Penalty of vectors and biases, a rating.",
        json_schema_extra=between(0.01, 0.5, log=True),
    )
    implicit_regularization: float = Field(
        0.02,
        ge=0,
        le=1_000_000,
        description="Penalty of the vectors y of what was rated; each rating shrinks all its user's.",
        json_schema_extra=between(0.002, 0.2, log=True),
    )
    learning_rate: float = Field(
        0.007,
        gt=0,
        le=10,
        description="Of the stochastic gradient steps.",
        json_schema_extra=between(0.002, 0.03, log=True),
    )
    iterations: int = Field(
        30, ge=1, le=10_000, description="Passes over the ratings.", json_schema_extra=between(10, 60, log=True)
    )


class PMFSettings(Settings):
    """Probabilistic matrix factorisation of ratings, without biases (Salakhutdinov & Mnih, 2007)."""

    factors: int = Field(
        100,
        ge=1,
        le=4096,
        description="Size of the users' and items' vectors.",
        json_schema_extra=between(20, 200, log=True),
    )
    regularization: float = Field(
        0.1,
        ge=0,
        le=1_000_000,
        description="Penalty of the vectors, a rating.",
        json_schema_extra=between(0.01, 0.5, log=True),
    )
    learning_rate: float = Field(
        0.005,
        gt=0,
        le=10,
        description="Of the stochastic gradient steps.",
        json_schema_extra=between(0.001, 0.03, log=True),
    )
    iterations: int = Field(
        100, ge=1, le=10_000, description="Passes over the ratings.", json_schema_extra=between(20, 200, log=True)
    )


class NMFSettings(Settings):
    """Non-negative matrix factorisation of ratings (Luo et al., 2014)."""

    factors: int = Field(
        100,
        ge=1,
        le=4096,
        description="Size of the users' and items' vectors.",
        json_schema_extra=between(20, 200, log=True),
    )
    regularization: float = Field(
        0.1,
        ge=0,
        le=1_000_000,
        description="Penalty of the vectors, a rating.",
        json_schema_extra=between(0.01, 0.5, log=True),
    )
    iterations: int = Field(
        60, ge=1, le=10_000, description="Passes over the ratings.", json_schema_extra=between(10, 120, log=True)
    )


class KNNBaselineSettings(Settings):
    """Item-based neighbours for ratings, over the baselines of user and item (Koren, 2010)."""

    neighbours: int = Field(
        200,
        ge=1,
        le=10_000,
        description="How many neighbours of an item are kept.",
        json_schema_extra=between(20, 500, log=True),
    )
    shrinkage: float = Field(
        100.0,
        ge=0,
        le=1_000_000,
        description="How many common users count half of a similarity.",
        json_schema_extra=between(1, 500, log=True),
    )
    damping: float = Field(
        0.3,
        gt=0,
        le=1_000_000,
        description="Added to the sum of similarities that a correction is divided by.",
        json_schema_extra=between(0.01, 10, log=True),
    )
