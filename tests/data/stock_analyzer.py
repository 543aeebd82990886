"""A feature kind that uses an analyzer of TensorFlow Transform, which the analysis of the pipeline does not run."""

from first_letters import FirstLetters


class StockAnalyzer(FirstLetters):
    """A category with a vocabulary of TensorFlow Transform."""

    def transform(self, name, column):
        import tensorflow_transform as tft

        from transform import graph

        return {name: graph.first(tft.compute_and_apply_vocabulary(column, num_oov_buckets=1))}
