"""The settings of the retrieval models that are fitted on ratings; see `settings` for the others."""

from typing import Any

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import between

# Fields that several models have: the default, and the range that a search tries.


def _factors(default: int, least: int, most: int) -> Any:
    return Field(
        default,
        ge=1,
        le=4096,
        description="Size of the users' and items' vectors.",
        json_schema_extra=between(least, most, log=True),
    )


def _penalty(default: float, least: float, most: float, description: str) -> Any:
    return Field(default, ge=0, le=1_000_000, description=description, json_schema_extra=between(least, most, log=True))


def _learning_rate(default: float, least: float, most: float) -> Any:
    return Field(
        default,
        gt=0,
        le=10,
        description="Of the stochastic gradient steps.",
        json_schema_extra=between(least, most, log=True),
    )


def _iterations(default: int, least: int, most: int) -> Any:
    return Field(
        default,
        ge=1,
        le=10_000,
        description="Passes over the ratings.",
        json_schema_extra=between(least, most, log=True),
    )


class SVDSettings(Settings):
    """Matrix factorisation of ratings with biases (Koren, Bell & Volinsky, 2009)."""

    factors: int = _factors(100, 20, 200)
    regularization: float = _penalty(0.1, 0.01, 0.5, "Penalty of vectors and biases, a rating.")
    learning_rate: float = _learning_rate(0.01, 0.002, 0.05)
    iterations: int = _iterations(50, 10, 100)


class SVDppSettings(Settings):
    """SVD with what was rated as evidence of its own (Koren, 2008)."""

    factors: int = _factors(20, 10, 100)
    regularization: float = _penalty(0.08, 0.01, 0.5, "Penalty of vectors and biases, a rating.")
    implicit_regularization: float = _penalty(
        0.02, 0.002, 0.2, "Penalty of the vectors y of what was rated; each rating shrinks all its user's."
    )
    learning_rate: float = _learning_rate(0.007, 0.002, 0.03)
    iterations: int = _iterations(30, 10, 60)


class PMFSettings(Settings):
    """Probabilistic matrix factorisation of ratings, without biases (Salakhutdinov & Mnih, 2007)."""

    factors: int = _factors(100, 20, 200)
    regularization: float = _penalty(0.1, 0.01, 0.5, "Penalty of the vectors, a rating.")
    learning_rate: float = _learning_rate(0.005, 0.001, 0.03)
    iterations: int = _iterations(100, 20, 200)


class NMFSettings(Settings):
    """Non-negative matrix factorisation of ratings (Luo et al., 2014)."""

    factors: int = _factors(100, 20, 200)
    regularization: float = _penalty(0.1, 0.01, 0.5, "Penalty of the vectors, a rating.")
    iterations: int = _iterations(60, 10, 120)


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
