"""The settings of the matrix factorisation models. No TensorFlow here."""

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import between


class IALSSettings(Settings):
    """Implicit matrix factorisation by alternating least squares (Hu, Koren & Volinsky, 2008)."""

    factors: int = Field(
        64,
        ge=1,
        le=4096,
        description="The size of the users' and items' vectors.",
        json_schema_extra=between(16, 256, log=True),
    )
    regularization: float = Field(
        0.1,
        gt=0,
        le=1_000_000,
        description="The penalty on squared vectors, in units of the mean number of events of a user; larger values "
        "shrink the vectors.",
        json_schema_extra=between(0.005, 1, log=True),
    )
    alpha: float = Field(
        0.5,
        gt=0,
        le=1_000_000,
        description="The amount by which each event of a user with an item raises the confidence of the pair, which "
        "is 1 without events.",
        json_schema_extra=between(0.05, 20, log=True),
    )
    iterations: int = Field(
        10,
        ge=1,
        le=10_000,
        description="The number of alternating least-squares iterations.",
        json_schema_extra=between(5, 30, log=True),
    )


class BPRSettings(Settings):
    """Matrix factorisation by Bayesian personalised ranking (Rendle et al., 2009)."""

    factors: int = Field(
        64,
        ge=1,
        le=4096,
        description="The size of the users' and items' vectors.",
        json_schema_extra=between(16, 256, log=True),
    )
    regularization: float = Field(
        0.01,
        ge=0,
        le=1_000_000,
        description="The L2 penalty on vectors and biases; larger values shrink them.",
        json_schema_extra=between(0.0003, 0.1, log=True),
    )
    learning_rate: float = Field(
        0.05,
        gt=0,
        le=10,
        description="The learning rate of stochastic gradient descent.",
        json_schema_extra=between(0.005, 0.2, log=True),
    )
    iterations: int = Field(
        200,
        ge=1,
        le=10_000,
        description="The number of passes over the events.",
        json_schema_extra=between(50, 400, log=True),
    )
