"""The settings of the linear models. No TensorFlow here."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import among, between


class EASESettings(Settings):
    """Linear model of each item from all others, in closed form (Steck, 2019)."""

    l2: float = Field(
        300.0,
        gt=0,
        le=1_000_000_000,
        description="The penalty on squared weights; larger values shrink the weights. Lower values suit small data "
        "sets.",
        json_schema_extra=between(10, 5000, log=True),
    )
    neighbours: int = Field(
        800,
        ge=1,
        le=10_000,
        description="The maximum number of weights kept for each item, the largest by absolute value.",
    )
    memory_gb: float = Field(
        4.0,
        gt=0,
        le=10_000,
        description="The memory limit of the Gram matrix in GB; 4 GB suffice for 31,000 items or 31,000 users, "
        "whichever of the two are fewer in the data.",
    )


class SLIMSettings(Settings):
    """Sparse linear model of each item from all others (Ning & Karypis, 2011)."""

    l1: float = Field(
        1.0,
        ge=0,
        le=1_000_000,
        description="The penalty on absolute weights; larger values give fewer weights.",
        json_schema_extra=between(0.01, 10, log=True),
    )
    l2: float = Field(
        100.0,
        gt=0,
        le=1_000_000_000,
        description="The penalty on squared weights; larger values shrink the weights.",
        json_schema_extra=between(1, 1000, log=True),
    )
    neighbours: int = Field(
        200, ge=1, le=10_000, description="The maximum number of weights kept for each item, the largest."
    )


class SLITSettings(Settings):
    """Linear model of the next items from the history, in closed form (Choi et al., 2021)."""

    half_life: float | None = Field(
        10.0,
        gt=0,
        le=1_000_000,
        description="The number of later events after which the weight of an item in the history is halved; null for "
        "equal weights.",
        json_schema_extra=among(None, 1.0, 3.0, 10.0, 30.0, 100.0),
    )
    horizon: int = Field(
        3,
        ge=1,
        le=1000,
        description="The number of events after a history that are predicted from it.",
        json_schema_extra=between(1, 30, log=True),
    )
    l2: float = Field(
        10.0,
        gt=0,
        le=1_000_000,
        description="The penalty on squared weights, in units of the mean diagonal entry of the matrix to invert; "
        "larger values shrink the weights.",
        json_schema_extra=between(1, 100, log=True),
    )
    neighbours: int = Field(
        500,
        ge=1,
        le=10_000,
        description="The maximum number of weights kept for each item, the largest by absolute value.",
    )
    memory_gb: float = Field(
        4.0,
        gt=0,
        le=10_000,
        description="The memory limit of the two matrices of items by items in GB; 4 GB suffice for 22,000 items.",
    )


class GraphFilterSettings(Settings):
    """Low-pass filter on the user–item graph (Shen et al., 2021)."""

    RENAMED: ClassVar[Mapping[str, str]] = {"patterns": "singular_vectors", "strength": "alpha"}

    singular_vectors: int = Field(
        256,
        ge=1,
        le=4096,
        description="The number of singular vectors of the ideal low-pass filter; with more, the filter removes less.",
        json_schema_extra=between(32, 1024, log=True),
    )
    alpha: float = Field(
        0.3,
        ge=0,
        le=1_000_000,
        description="The weight of the ideal low-pass filter, which is added to the linear filter.",
        json_schema_extra=between(0, 1),
    )
