"""A feature kind outside the product, the example of `docs/features.md`."""

from pydantic import Field

from transform.columns import StringColumn
from transform.features import Feature, Indices, vocabulary_name


class FirstLetters(Feature):
    """The first letters of a string, such as the area that a postal code begins with."""

    letters: int = Field(2, ge=1, description="The number of letters.")

    @property
    def raw(self):
        return StringColumn()

    def outputs(self, name):
        return [Indices(name, buckets=1, vocabulary=vocabulary_name(name))]

    def transform(self, name, column):
        import tensorflow as tf

        from transform import graph

        letters = column.with_values(tf.strings.substr(column.values, 0, self.letters))
        return {name: graph.index(letters, name, min_count=1, oov_buckets=1)}
