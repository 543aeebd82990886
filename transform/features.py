"""The feature configuration: which columns are features, and of what kind. No TensorFlow here."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from core.settings import Settings


class Categorical(Settings):
    """One string a row; each frequent value gets an embedding, the rest share hashed buckets."""

    kind: Literal["categorical"] = "categorical"
    min_count: int = Field(1, ge=1, description="Values seen fewer times in train share the out-of-vocabulary buckets.")
    oov_buckets: int = Field(1, ge=1, description="How many hashed buckets the rare and unknown values share.")


class MultiValued(Settings):
    """Several strings a row, given as a list or as one string with a separator."""

    kind: Literal["multi_valued"] = "multi_valued"
    separator: str = Field(
        "|", min_length=1, description="What stands between the values where the column is one string."
    )
    max_values: int = Field(8, ge=1, description="Values past this many are left out.")
    min_count: int = Field(1, ge=1, description="Values seen fewer times in train share the out-of-vocabulary buckets.")
    oov_buckets: int = Field(1, ge=1, description="How many hashed buckets the rare and unknown values share.")


class Numeric(Settings):
    """One number a row; a missing one takes the mean of train."""

    kind: Literal["numeric"] = "numeric"
    log: bool = Field(False, description="Take log(1 + x) first; for counts, prices and other long tails.")
    buckets: int = Field(0, ge=0, description="Quantile buckets, each with an embedding; 0 keeps the z-score alone.")


Feature = Annotated[
    Annotated[Categorical | MultiValued | Numeric, Field(discriminator="kind")],
    BeforeValidator(lambda value: {"kind": value} if isinstance(value, str) else value),
]


class Features(Settings):
    """The features of each table, by column: a kind's name, or a mapping with `kind` and its settings."""

    user: dict[str, Feature] = Field(default_factory=dict, description="Columns of the users table.")
    item: dict[str, Feature] = Field(default_factory=dict, description="Columns of the items table.")
    id_min_count: int = Field(1, ge=1, description="Ids seen fewer times in train share the out-of-vocabulary buckets.")
    id_oov_buckets: int = Field(16, ge=1, description="How many hashed buckets the rare and unknown ids share.")
    history_length: int = Field(50, ge=1, description="How many of the user's latest events a model sees.")
