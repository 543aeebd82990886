"""A feature kind that uses an analyzer of TensorFlow Transform, which the analysis of the pipeline does not run."""

from transform.columns import StringColumn
from transform.features import Feature, Indices, vocabulary_name


class StockAnalyzer(Feature):
    """A category with a vocabulary of TensorFlow Transform."""

    @property
    def raw(self):
        return StringColumn()

    def outputs(self, name):
        return [Indices(name, buckets=1, vocabulary=vocabulary_name(name))]

    def transform(self, name, column):
        import tensorflow_transform as tft

        from transform import graph

        return {name: graph.first(tft.compute_and_apply_vocabulary(column, num_oov_buckets=1))}
