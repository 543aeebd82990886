"""The feature configuration: which columns are features, and of what kind. No TensorFlow here.

A kind is one class: its settings, what a row of its column holds (`raw`), what the transform graph makes of it
(`outputs`), and how (`transform`). All other code asks a feature for these and knows no kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, WrapValidator

from core.settings import Settings


@dataclass(frozen=True)
class Raw:
    """What a row of a feature's column holds.

    Args:
      numbers: whether numbers or strings.
      values: the most strings a row has, or exactly how many numbers, as a list; None where it has one.
      separator: what stands between the values where the column is one string.
      words: whether a string is text, which says something by its words and not as a whole.
      moment: whether a number is a time, in seconds since 1970, whose age a ranker is told.
    """

    numbers: bool = False
    values: int | None = None
    separator: str = "|"
    words: bool = False
    moment: bool = False


@dataclass(frozen=True)
class Indices:
    """A transformed column [...] or [..., V] of indices, each of which gets an embedding; 0 for a missing value.

    Args:
      column: its name.
      buckets: how many indices there are beside 0 and the vocabulary.
      vocabulary: the vocabulary whose values come first; None for none.
      several: whether a row holds several, [..., V], padded with 0.
      weights: the transformed column [..., V] of how much each of several counts; None where all count alike.
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
        """How many indices there are, 0 among them."""
        return 1 + (vocabulary_sizes[self.vocabulary] if self.vocabulary else 0) + self.buckets


@dataclass(frozen=True)
class Numbers:
    """A transformed column of numbers: [...] around 0 or, of vectors, [..., width].

    Args:
      column: its name.
      width: how many numbers a vector has; None where a row holds one number.
    """

    column: str
    width: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


class Feature(Settings):
    """The base of every kind, those of a user's own among them: `kind` is then `module:Class`."""

    kind: str

    @property
    def raw(self) -> Raw | None:
        """What a row of its column holds; None of a feature that is made of others and has no column."""
        raise NotImplementedError

    def outputs(self, name: str) -> list[Indices | Numbers]:
        """What the transform graph makes of column `name`."""
        raise NotImplementedError

    def transform(self, name: str, column: Any) -> dict[str, Any]:
        """The columns of `outputs` as tensors, by TensorFlow Transform.

        Args:
          name: of the feature.
          column: the raw one, sparse [B, V]; of a feature without a column, feature → its `indices` as a tensor.
        """
        raise NotImplementedError

    def indices(self, name: str) -> Indices | None:
        """Its output that puts rows into categories; None where it has none."""
        return next((each for each in self.outputs(name) if isinstance(each, Indices)), None)


class Categorical(Feature):
    """One string a row; each frequent value gets an embedding, the rest share hashed buckets."""

    kind: Literal["categorical"] = "categorical"
    min_count: int = Field(
        1, ge=1, le=1_000_000_000, description="Values seen fewer times in train share the out-of-vocabulary buckets."
    )
    oov_buckets: int = Field(
        1, ge=1, le=1_000_000, description="How many hashed buckets the rare and unknown values share."
    )

    @property
    def raw(self) -> Raw:
        return Raw()

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Indices(name, self.oov_buckets, vocabulary_name(name))]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.index(column, name, self.min_count, self.oov_buckets)}


class MultiValued(Feature):
    """Several strings a row, given as a list or as one string with a separator."""

    kind: Literal["multi_valued"] = "multi_valued"
    separator: str = Field(
        "|", min_length=1, description="What stands between the values where the column is one string."
    )
    max_values: int = Field(8, ge=1, le=1000, description="Values past this many are left out.")
    min_count: int = Field(
        1, ge=1, le=1_000_000_000, description="Values seen fewer times in train share the out-of-vocabulary buckets."
    )
    oov_buckets: int = Field(
        1, ge=1, le=1_000_000, description="How many hashed buckets the rare and unknown values share."
    )

    @property
    def raw(self) -> Raw:
        return Raw(values=self.max_values, separator=self.separator)

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Indices(name, self.oov_buckets, vocabulary_name(name), several=True)]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.dense(graph.in_vocabulary(column, name, self.min_count, self.oov_buckets), self.max_values)}


class Numeric(Feature):
    """One number a row; a missing one takes the mean of train."""

    kind: Literal["numeric"] = "numeric"
    log: bool = Field(False, description="Take log(1 + x) first; for counts, prices and other long tails.")
    buckets: int = Field(
        0, ge=0, le=10_000, description="Quantile buckets, each with an embedding; 0 keeps the z-score alone."
    )

    @property
    def raw(self) -> Raw:
        return Raw(numbers=True)

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Numbers(name), *([Indices(bucket_name(name), self.buckets)] if self.buckets else [])]

    def transform(self, name, column):
        from transform import graph

        column = graph.logarithms(column) if self.log else column
        found = {name: graph.standardised(column)}
        return found | ({bucket_name(name): graph.buckets(column, name, self.buckets)} if self.buckets else {})


class Timestamp(Feature):
    """One moment a row, in seconds since 1970 UTC or as a date; a ranker is told how many days before the query it is.

    A retriever knows no time of the query: it is given the moment itself, standardised, one that is earlier or later
    than all of train and eval as the outermost, a missing one as the mean. The age is a signal of
    `trainer.ranking.context`.
    """

    kind: Literal["timestamp"] = "timestamp"

    @property
    def raw(self) -> Raw:
        return Raw(numbers=True, moment=True)

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Numbers(name)]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.standardised(graph.within_known(column))}


class Text(Feature):
    """One text a row, read word by word: each frequent word gets an embedding, weighed by TF-IDF.

    Words are runs of letters and digits in lower case. A word's weight is its share of the row's words times
    1 + ln((1 + rows) / (1 + rows with the word)), rows being the events of train (Salton & Buckley, 1988).
    """

    kind: Literal["text"] = "text"
    max_words: int = Field(16, ge=1, le=1000, description="Words past this many are left out.")
    max_vocabulary: int = Field(
        10_000, ge=1, le=10_000_000, description="How many words are told apart, the most frequent of train."
    )
    min_count: int = Field(2, ge=1, le=1_000_000_000, description="Words seen fewer times in train are left out.")

    @property
    def raw(self) -> Raw:
        return Raw(words=True)

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Indices(name, vocabulary=vocabulary_name(name), several=True, weights=weight_name(name))]

    def transform(self, name, column):
        from transform import graph

        words = graph.words(column, self.max_words)
        index, weight = graph.tf_idf(words, name, self.min_count, self.max_vocabulary)
        return {name: graph.dense(index, self.max_words), weight_name(name): graph.dense(weight, self.max_words)}


class Embedding(Feature):
    """A given vector a row, such as one of a text or a picture; a missing one is zeros."""

    kind: Literal["embedding"] = "embedding"
    size: int = Field(ge=1, le=16_384, description="How many numbers each vector has.")
    normalize: bool = Field(False, description="Whether each vector is divided by its length.")
    separator: str = Field(
        "|", min_length=1, description="What stands between the numbers where the column is one string."
    )

    @property
    def raw(self) -> Raw:
        return Raw(numbers=True, values=self.size, separator=self.separator)

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Numbers(name, self.size)]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.vectors(column, self.size, self.normalize)}


class Cross(Feature):
    """What several features of a table say together: each combination of their values gets a hashed bucket."""

    kind: Literal["cross"] = "cross"
    columns: tuple[str, ...] = Field(
        min_length=2, description="Two or more features of the same table: categorical, multi-valued or with buckets."
    )
    buckets: int = Field(1000, ge=1, le=1_000_000, description="How many hashed buckets the combinations share.")

    @property
    def raw(self) -> None:
        return None

    def outputs(self, name: str) -> list[Indices | Numbers]:
        return [Indices(name, self.buckets, several=True)]

    def transform(self, name, column):
        from transform import graph

        return {name: graph.crossed([column[each] for each in self.columns], self.buckets)}


def _read(value: Any, known: Callable[[Any], Feature]) -> Feature:
    """A feature from its kind's name, or from a mapping with `kind`."""
    value = {"kind": value} if isinstance(value, str) else value
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or ":" not in kind:
        return value if isinstance(value, Feature) else known(value)
    from transform import own_kinds

    return own_kinds.feature(kind, value)


if TYPE_CHECKING:
    AnyFeature = Feature  # to a type checker, since a path may name one more kind
else:
    AnyFeature = Annotated[
        Annotated[
            Categorical | MultiValued | Numeric | Timestamp | Text | Embedding | Cross,
            Field(discriminator="kind"),
        ],
        WrapValidator(_read),
        SerializeAsAny(),
    ]


class Features(Settings):
    """The features of each table, by column: a kind's name, or a mapping with `kind` and its settings."""

    user: dict[str, AnyFeature] = Field(default_factory=dict, description="Columns of the users table.")
    item: dict[str, AnyFeature] = Field(default_factory=dict, description="Columns of the items table.")
    id_min_count: int = Field(
        1, ge=1, le=1_000_000_000, description="Ids seen fewer times in train share the out-of-vocabulary buckets."
    )
    id_oov_buckets: int = Field(
        16, ge=1, le=10_000_000, description="How many hashed buckets the rare and unknown ids share."
    )
    history_length: int = Field(50, ge=1, le=10_000, description="How many of the user's latest events a model sees.")


def own_modules(features: Features) -> list[str]:
    """The modules of the kinds that are named by a path."""
    every = (*features.user.values(), *features.item.values())
    return sorted({feature.kind.partition(":")[0] for feature in every if ":" in feature.kind})


def raw_columns(features: Mapping[str, Feature]) -> dict[str, Raw]:
    """Column → what a row of it holds, of the features that have one."""
    return {name: feature.raw for name, feature in features.items() if feature.raw is not None}


def moments(features: Mapping[str, Feature]) -> list[str]:
    """The columns that hold times."""
    return [name for name, raw in raw_columns(features).items() if raw.moment]


def bucket_name(name: str) -> str:
    """The output that holds the quantile bucket of numeric column `name`."""
    return f"{name}_bucket"


def weight_name(name: str) -> str:
    """The output that holds the weights of the words of text column `name`."""
    return f"{name}_weight"


def vocabulary_name(name: str) -> str:
    """The vocabulary of column `name`."""
    return f"{name}_vocabulary"
