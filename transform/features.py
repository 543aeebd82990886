"""The feature configuration: the columns that are features, and their kinds. No TensorFlow here.

A kind is a class with its settings, the type of its raw column (`raw`), the outputs of the transform graph (`outputs`)
and their computation (`transform`). No other code depends on the kind of a feature.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, WrapValidator

from core.settings import Settings
from transform.columns import (
    NumberColumn,
    RawColumn,
    StringColumn,
    StringListColumn,
    TextColumn,
    TimestampColumn,
    VectorColumn,
)


@dataclass(frozen=True)
class Indices:
    """A transformed column [...] or [..., V] of indices, each with an embedding; 0 for a missing value.

    Args:
      column: the name of the transformed column.
      buckets: the number of indices in addition to 0 and those of the vocabulary.
      vocabulary: the name of the vocabulary, whose values have the indices from 1; None for no vocabulary.
      several: whether a row has several indices, [..., V], padded with 0.
      weights: the name of the transformed column [..., V] with the weights of these indices; None for equal weights.
    """

    column: str
    buckets: int = 0
    vocabulary: str | None = None
    several: bool = False
    weights: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if self.weights is None else (self.column, self.weights)

    def size(self, vocabulary_sizes: Mapping[str, int]) -> int:
        """Return the number of indices: the vocabulary, the buckets, and 0 for a missing value."""
        return 1 + (vocabulary_sizes[self.vocabulary] if self.vocabulary else 0) + self.buckets


@dataclass(frozen=True)
class Numbers:
    """A transformed column with a number per row, [...], centred at 0, or with a vector per row, [..., width].

    Args:
      column: the name of the transformed column.
      width: the size of a vector; None where a row has one number.
    """

    column: str
    width: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


class Feature(Settings):
    """The base class of all feature kinds; the `kind` of a user-defined class is `module:Class`."""

    kind: str

    @property
    def raw(self) -> RawColumn | None:
        """Return the type of the raw column; None for a feature that is computed from others and has no column."""
        raise NotImplementedError

    def outputs(self, name: str) -> list[Indices | Numbers]:
        """Return the outputs of the transform graph for column `name`."""
        raise NotImplementedError

    def transform(self, name: str, column: Any) -> dict[str, Any]:
        """Return the columns of `outputs` as tensors, computed with the functions of `transform.graph`.

        Args:
          name: the name of the feature.
          column: the raw column, sparse [B, V]; for a feature without one, name → `indices` tensor of other features.
        """
        raise NotImplementedError

    def indices(self, name: str) -> Indices | None:
        """Return the first output that has indices; None if there is none."""
        return next((each for each in self.outputs(name) if isinstance(each, Indices)), None)


class Categorical(Feature):
    """One string per row; each value in the vocabulary has an embedding, others share hashed buckets."""

    kind: Literal["categorical"] = "categorical"
    min_count: int = Field(
        1, ge=1, le=1_000_000_000, description="The minimum count in train and eval of a value in the vocabulary."
    )
    oov_buckets: int = Field(
        1, ge=1, le=1_000_000, description="The number of hashed buckets of out-of-vocabulary values."
    )

    @property
    def raw(self) -> RawColumn:
        return StringColumn()

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Indices(name, self.oov_buckets, vocabulary_name(name))]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.index(column, name, self.min_count, self.oov_buckets)}


class MultiValued(Feature):
    """Several strings per row, as a list or as one string with a separator."""

    kind: Literal["multi_valued"] = "multi_valued"
    separator: str = Field("|", min_length=1, description="The separator between the values of one string.")
    max_values: int = Field(
        8, ge=1, le=1000, description="The maximum number of values of a row; further values are ignored."
    )
    min_count: int = Field(
        1, ge=1, le=1_000_000_000, description="The minimum count in train and eval of a value in the vocabulary."
    )
    oov_buckets: int = Field(
        1, ge=1, le=1_000_000, description="The number of hashed buckets of out-of-vocabulary values."
    )

    @property
    def raw(self) -> RawColumn:
        return StringListColumn(self.max_values, self.separator)

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Indices(name, self.oov_buckets, vocabulary_name(name), several=True)]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.dense(graph.in_vocabulary(column, name, self.min_count, self.oov_buckets), self.max_values)}


class Numeric(Feature):
    """One number per row; a missing one is replaced by the mean of train and eval."""

    kind: Literal["numeric"] = "numeric"
    log: bool = Field(False, description="Whether x becomes log(1 + x), for counts, prices and other long tails.")
    buckets: int = Field(
        0,
        ge=0,
        le=10_000,
        description="The number of quantile buckets with an embedding each, in addition to the z-score; 0 for none.",
    )

    @property
    def raw(self) -> RawColumn:
        return NumberColumn()

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Numbers(name), *([Indices(bucket_name(name), self.buckets)] if self.buckets else [])]

    def transform(self, name, column):
        from transform import graph

        column = graph.logarithms(column) if self.log else column
        outputs = {name: graph.standardised(column)}
        return outputs | ({bucket_name(name): graph.buckets(column, self.buckets)} if self.buckets else {})


class Timestamp(Feature):
    """One timestamp per row, in seconds since 1970 UTC or as a date; its age at the query is a signal of the ranker.

    A retriever does not get the time of the query. It gets the timestamp itself, clipped to the range in train and eval
    and standardised; a missing one is replaced by the mean. `trainer.ranking.context` computes the age for the ranker.
    """

    kind: Literal["timestamp"] = "timestamp"

    @property
    def raw(self) -> RawColumn:
        return TimestampColumn()

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Numbers(name)]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.standardised(graph.clipped(column))}


class Text(Feature):
    """One text per row; each frequent word has an embedding, weighted by TF-IDF.

    Words are runs of letters and digits in lower case. The weight of a word is its share of the words of the row times
    1 + ln((1 + rows) / (1 + rows with the word)), where rows are events of train and eval (Salton & Buckley, 1988).
    """

    kind: Literal["text"] = "text"
    max_words: int = Field(
        16, ge=1, le=1000, description="The maximum number of words of a row; further words are ignored."
    )
    max_vocabulary: int = Field(
        10_000, ge=1, le=10_000_000, description="The maximum number of words in the vocabulary, the most frequent."
    )
    min_count: int = Field(
        2, ge=1, le=1_000_000_000, description="The minimum count of a word in train and eval; others are ignored."
    )

    @property
    def raw(self) -> RawColumn:
        return TextColumn()

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Indices(name, vocabulary=vocabulary_name(name), several=True, weights=weight_name(name))]

    def transform(self, name, column):
        from transform import graph

        words = graph.words(column, self.max_words)
        index, weight = graph.tf_idf(words, name, self.min_count, self.max_vocabulary)
        return {name: graph.dense(index, self.max_words), weight_name(name): graph.dense(weight, self.max_words)}


class Embedding(Feature):
    """A given vector per row, such as the embedding of a text or an image; a missing one is replaced by zeros."""

    kind: Literal["embedding"] = "embedding"
    size: int = Field(ge=1, le=16_384, description="The size of the vectors.")
    normalize: bool = Field(False, description="Whether each vector is divided by its L2 norm.")
    separator: str = Field("|", min_length=1, description="The separator between the numbers of one string.")

    @property
    def raw(self) -> RawColumn:
        return VectorColumn(self.size, self.separator)

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Numbers(name, self.size)]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.vectors(column, self.size, self.normalize)}


class Cross(Feature):
    """Hashed combinations of the values of several features of a table."""

    kind: Literal["cross"] = "cross"
    columns: tuple[str, ...] = Field(
        min_length=2,
        description="Two or more features of the same table that are categorical, multi-valued or have buckets.",
    )
    buckets: int = Field(1000, ge=1, le=1_000_000, description="The number of hashed buckets of the combinations.")

    @property
    def raw(self) -> None:
        return None

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Indices(name, self.buckets, several=True)]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.crossed([column[each] for each in self.columns], self.buckets)}


def _feature(value: Any, known: Callable[[Any], Feature]) -> Feature:
    """Return the feature for its configuration: the name of a kind, or a mapping with `kind` and its settings."""
    value = {"kind": value} if isinstance(value, str) else value
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or ":" not in kind:
        return value if isinstance(value, Feature) else known(value)
    from transform import own_kinds

    return own_kinds.feature(kind, value)


if TYPE_CHECKING:
    AnyFeature = Feature  # for type checkers, since `kind` may be a path
else:
    AnyFeature = Annotated[
        Annotated[
            Categorical | MultiValued | Numeric | Timestamp | Text | Embedding | Cross,
            Field(discriminator="kind"),
        ],
        WrapValidator(_feature),
        SerializeAsAny(),
    ]


class Features(Settings):
    """The features of each table, by column: the name of a kind, or a mapping with `kind` and its settings."""

    user: dict[str, AnyFeature] = Field(default_factory=dict, description="The features of users, by column.")
    item: dict[str, AnyFeature] = Field(default_factory=dict, description="The features of items, by column.")
    id_min_count: int = Field(
        1,
        ge=1,
        le=1_000_000_000,
        description="The minimum count in train and eval of an id in the vocabulary; rarer ids share hashed buckets.",
    )
    id_oov_buckets: int = Field(
        16, ge=1, le=10_000_000, description="The number of hashed buckets of out-of-vocabulary ids."
    )
    history_length: int = Field(
        50, ge=1, le=10_000, description="The maximum number of items of a history; only the latest events are used."
    )


def own_modules(features: Features) -> list[str]:
    """Return the names of the modules that define the user-defined kinds among `features`."""
    every = (*features.user.values(), *features.item.values())
    return sorted({feature.kind.partition(":")[0] for feature in every if ":" in feature.kind})


def raw_columns(features: Mapping[str, Feature]) -> dict[str, RawColumn]:
    """Return column → its type, for the features that have a raw column."""
    return {name: feature.raw for name, feature in features.items() if feature.raw is not None}


def timestamp_columns(features: Mapping[str, Feature]) -> list[str]:
    """Return the columns with timestamps."""
    return [name for name, raw in raw_columns(features).items() if raw.timestamp]


def bucket_name(name: str) -> str:
    """Return the name of the output with the quantile bucket of the numeric column `name`."""
    return f"{name}_bucket"


def weight_name(name: str) -> str:
    """Return the name of the output with the weights of the words of the text column `name`."""
    return f"{name}_weight"


def vocabulary_name(name: str) -> str:
    """Return the name of the vocabulary of column `name`."""
    return f"{name}_vocabulary"
