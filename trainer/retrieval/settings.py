"""The settings of each retrieval model, apart from the models so that a check needs no TensorFlow."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from core.settings import Settings
from trainer.tuning.space import among, between

Similarity = Literal["cosine", "jaccard"]
Weighting = Literal["none", "tf_idf", "bm25"]


class PopularitySettings(Settings):
    """Counts of events."""

    window_days: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="Only the events of this many days before the last one count first; null counts all.",
        json_schema_extra=among(None, 7.0, 30.0, 90.0, 365.0),
    )
    segment: str | None = Field(
        None,
        description="A feature of users with one value each: what others with the user's value met comes first.",
    )


class RepeatsSettings(Settings):
    """What the user met before, most often and most lately first."""

    half_life: float | None = Field(
        500.0,
        gt=0,
        le=1_000_000,
        description="An item last met this many of the user's events ago counts half; null looks at counts alone.",
        json_schema_extra=among(None, 10.0, 50.0, 200.0, 500.0, 2000.0),
    )
    aged: Literal["latest", "each"] = Field(
        "latest",
        description="What the half-life ages: the `latest` of an item's meetings, beside their number, or `each` of "
        "them, of which the sum counts.",
        json_schema_extra=among("latest", "each"),
    )
    of: str | None = Field(
        None,
        description="A feature of items with one value each: its values are counted, such as a product's type, and "
        "not the items themselves.",
    )


class ItemKNNSettings(Settings):
    """Items met by the same users (Deshpande & Karypis, 2004)."""

    neighbours: int = Field(
        50,
        ge=1,
        le=10_000,
        description="How many neighbours of an item are kept.",
        json_schema_extra=between(10, 500, log=True),
    )
    shrinkage: float = Field(
        10.0,
        ge=0,
        le=1_000_000,
        description="Events of mean weight added to the denominator, against chance.",
        json_schema_extra=between(0, 100),
    )
    similarity: Similarity = Field(
        "cosine",
        description="How alike two items are, from what their users have of both.",
        json_schema_extra=among("cosine", "jaccard"),
    )
    weighting: Weighting = Field(
        "tf_idf",
        description="What a user says of an item; `none`: each the same.",
        json_schema_extra=among("none", "tf_idf", "bm25"),
    )
    half_life: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="After this many later events an item met counts half; null counts all the same.",
        json_schema_extra=among(None, 1.0, 3.0, 10.0, 30.0, 100.0),
    )


class UserKNNSettings(Settings):
    """What users with a history like this one met (Resnick et al., 1994)."""

    neighbours: int = Field(
        50, ge=1, le=10_000, description="How many like users are asked.", json_schema_extra=between(10, 500, log=True)
    )
    shrinkage: float = Field(
        10.0,
        ge=0,
        le=1_000_000,
        description="Events of mean weight added to the denominator, against chance.",
        json_schema_extra=between(0, 100),
    )
    similarity: Similarity = Field(
        "cosine",
        description="How alike two users are, from the items of both.",
        json_schema_extra=among("cosine", "jaccard"),
    )
    weighting: Weighting = Field(
        "tf_idf",
        description="What an item says of a user; `none`: each the same.",
        json_schema_extra=among("none", "tf_idf", "bm25"),
    )


class EASESettings(Settings):
    """A linear model of each item from all others, in closed form (Steck, 2019)."""

    l2: float = Field(
        300.0,
        gt=0,
        le=1_000_000_000,
        description="Penalty of the squared weights; less where events are few.",
        json_schema_extra=between(10, 5000, log=True),
    )
    neighbours: int = Field(
        800, ge=1, le=10_000, description="How many weights of an item are kept, the largest of either sign."
    )
    memory_gb: float = Field(
        4.0,
        gt=0,
        le=10_000,
        description="The most that the matrix of all items or all users, the fewer, may take; 4 GB hold 31,000.",
    )


class SLIMSettings(Settings):
    """A sparse linear model of each item from those it was met with (Ning & Karypis, 2011)."""

    l1: float = Field(
        1.0,
        ge=0,
        le=1_000_000,
        description="Penalty of the weights; more of it makes fewer of them.",
        json_schema_extra=between(0.01, 10, log=True),
    )
    l2: float = Field(
        100.0,
        gt=0,
        le=1_000_000_000,
        description="Penalty of the squared weights.",
        json_schema_extra=between(1, 1000, log=True),
    )
    neighbours: int = Field(
        200, ge=1, le=10_000, description="How many weights of an item are kept, the largest first."
    )


class ContentSettings(Settings):
    """Items whose features are like those of the items met (Pazzani & Billsus, 2007)."""

    dim: int = Field(
        64,
        ge=2,
        le=4096,
        description="The most that an embedding has; with more values of features than this it is narrowed.",
        json_schema_extra=between(16, 256, log=True),
    )
    half_life: float | None = Field(
        5.0,
        gt=0,
        le=1_000_000,
        description="After this many later events an item met counts half; null counts all the same.",
        json_schema_extra=among(None, 2.0, 5.0, 10.0, 50.0),
    )


class FusionSettings(Settings):
    """Several models' lists made one, by reciprocal ranks (Cormack et al., 2009)."""

    models: dict[str, dict[str, Any]] = Field(
        {"ease": {}, "ials": {}, "item_knn": {}},
        min_length=2,
        description="Retrieval model -> its params; or any label -> params with `model` among them, so that one model "
        "can stand here twice.",
    )
    weights: dict[str, Annotated[float, Field(ge=-1_000_000, le=1_000_000)]] = Field(
        default_factory=dict, description="Retrieval model -> its weight, where not 1."
    )
    learned: bool = Field(
        False, description="Whether the weights are learned from eval by coordinate ascent, from the ones given."
    )
    k0: float = Field(
        60.0,
        ge=0,
        le=1_000_000,
        description="Added to a rank; more of it makes the first ranks less outstanding.",
        json_schema_extra=between(0, 100),
    )
    depth: int = Field(
        1000, ge=1, le=100_000, description="How far down a list ranks count; popularity orders what lies below."
    )
    cold: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Of an item without events, the share of their weight that models which know items by events "
        "give up, in equal parts, to those that know its features. With 0 they vote too, and put it last.",
    )

    @model_validator(mode="after")
    def _weights_of_models(self) -> "FusionSettings":
        wrong = [label for label in self.models if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", label)]
        if wrong:
            raise ValueError(f"a label should be letters, digits and `_`, a letter first; found {', '.join(wrong)}")
        unknown = sorted(set(self.weights) - set(self.models))
        if unknown:
            raise ValueError(f"weights should be of {', '.join(self.models)}; found {', '.join(unknown)}")
        return self


class IALSSettings(Settings):
    """Implicit matrix factorisation by alternating least squares (Hu, Koren & Volinsky, 2008)."""

    factors: int = Field(
        64,
        ge=1,
        le=4096,
        description="Size of the users' and items' vectors.",
        json_schema_extra=between(16, 256, log=True),
    )
    regularization: float = Field(
        0.1,
        gt=0,
        le=1_000_000,
        description="The penalty λ over the mean number of events of a user.",
        json_schema_extra=between(0.005, 1, log=True),
    )
    alpha: float = Field(
        0.5,
        gt=0,
        le=1_000_000,
        description="How much each event adds to the confidence, which is 1 without any.",
        json_schema_extra=between(0.05, 20, log=True),
    )
    iterations: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Times that users and items are each solved for.",
        json_schema_extra=between(5, 30, log=True),
    )


class BPRSettings(Settings):
    """Matrix factorisation by Bayesian personalised ranking (Rendle et al., 2009)."""

    factors: int = Field(
        64, ge=1, le=4096, description="Size of the items' vectors.", json_schema_extra=between(16, 256, log=True)
    )
    regularization: float = Field(
        0.01,
        ge=0,
        le=1_000_000,
        description="Penalty of vectors and biases.",
        json_schema_extra=between(0.0003, 0.1, log=True),
    )
    learning_rate: float = Field(
        0.05,
        gt=0,
        le=10,
        description="Of the stochastic gradient steps.",
        json_schema_extra=between(0.005, 0.2, log=True),
    )
    iterations: int = Field(
        200, ge=1, le=10_000, description="Passes over the events.", json_schema_extra=between(50, 400, log=True)
    )


class GraphFilterSettings(Settings):
    """A low-pass filter on the user–item graph (Shen et al., 2021)."""

    patterns: int = Field(
        256,
        ge=1,
        le=4096,
        description="How many of the graph's smoothest patterns are kept.",
        json_schema_extra=between(32, 1024, log=True),
    )
    strength: float = Field(
        0.3,
        ge=0,
        le=1_000_000,
        description="Weight of the patterns against the neighbours at one step.",
        json_schema_extra=between(0, 1),
    )
