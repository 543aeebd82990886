"""The settings of the models that predict ratings. No TensorFlow here."""

from typing import Any

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import between

# Fields that several models share; each model gives its own default and search range.


def _factors(default: int, low: int, high: int) -> Any:
    """Return the field `factors` with a default and the search range `low` to `high`."""
    return Field(
        default,
        ge=1,
        le=4096,
        description="The size of the users' and items' vectors.",
        json_schema_extra=between(low, high, log=True),
    )


def _penalty(default: float, low: float, high: float, description: str) -> Any:
    """Return a field for a penalty with a default and the search range `low` to `high`."""
    return Field(default, ge=0, le=1_000_000, description=description, json_schema_extra=between(low, high, log=True))


def _learning_rate(default: float, low: float, high: float) -> Any:
    """Return the field `learning_rate` with a default and the search range `low` to `high`."""
    return Field(
        default,
        gt=0,
        le=10,
        description="The learning rate of stochastic gradient descent.",
        json_schema_extra=between(low, high, log=True),
    )


def _iterations(default: int, low: int, high: int) -> Any:
    """Return the field `iterations` with a default and the search range `low` to `high`."""
    return Field(
        default,
        ge=1,
        le=10_000,
        description="The number of passes over the ratings.",
        json_schema_extra=between(low, high, log=True),
    )


class SVDSettings(Settings):
    """Matrix factorisation of ratings with biases (Koren, Bell & Volinsky, 2009)."""

    factors: int = _factors(100, 20, 200)
    regularization: float = _penalty(0.1, 0.01, 0.5, "The L2 penalty on vectors and biases, applied at each rating.")
    learning_rate: float = _learning_rate(0.01, 0.002, 0.05)
    iterations: int = _iterations(50, 10, 100)


class SVDppSettings(Settings):
    """SVD with the set of rated items as implicit feedback (Koren, 2008)."""

    factors: int = _factors(20, 10, 100)
    regularization: float = _penalty(0.08, 0.01, 0.5, "The L2 penalty on vectors and biases, applied at each rating.")
    implicit_regularization: float = _penalty(
        0.02, 0.002, 0.2, "The L2 penalty on the implicit vectors y of all items of a user, applied at each rating."
    )
    learning_rate: float = _learning_rate(0.007, 0.002, 0.03)
    iterations: int = _iterations(30, 10, 60)


class PMFSettings(Settings):
    """Probabilistic matrix factorisation of ratings, without biases (Salakhutdinov & Mnih, 2007)."""

    factors: int = _factors(100, 20, 200)
    regularization: float = _penalty(0.1, 0.01, 0.5, "The L2 penalty on vectors, applied at each rating.")
    learning_rate: float = _learning_rate(0.005, 0.001, 0.03)
    iterations: int = _iterations(100, 20, 200)


class NMFSettings(Settings):
    """Non-negative matrix factorisation of ratings (Luo et al., 2014)."""

    factors: int = _factors(100, 20, 200)
    regularization: float = _penalty(0.1, 0.01, 0.5, "The L2 penalty on vectors, applied at each rating.")
    iterations: int = _iterations(60, 10, 120)


class KNNBaselineSettings(Settings):
    """Item-based nearest neighbours for ratings, over the baselines of user and item (Koren, 2010)."""

    neighbours: int = Field(
        200,
        ge=1,
        le=10_000,
        description="The maximum number of neighbours kept for each item.",
        json_schema_extra=between(20, 500, log=True),
    )
    shrinkage: float = Field(
        100.0,
        ge=0,
        le=1_000_000,
        description="The number of common users, minus one, at which a similarity is halved; larger values favour "
        "pairs of items with many common users.",
        json_schema_extra=between(1, 500, log=True),
    )
    damping: float = Field(
        0.3,
        gt=0,
        le=1_000_000,
        description="The constant added to the sum of similarities in the denominator of a prediction; larger values "
        "keep predictions closer to the baseline.",
        json_schema_extra=between(0.01, 10, log=True),
    )
