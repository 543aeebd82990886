"""The inputs of the linear ranker, from transformed columns: numbers, and values that have a weight each."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from dataclasses import replace

import numpy as np
import tensorflow as tf

from core import names
from trainer.ranking.contract import RankingData
from trainer.ranking.inputs import Signals
from trainer.registry import is_rank
from transform.features import Indices, Numbers

SMALLEST = 1e-6  # a smaller standard deviation, relative to the largest score, is the rounding of equal scores


def standardised(scores: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """Return scores minus their mean, divided by their standard deviation over some candidates of the list.

    A score that is not finite becomes 0, the mean. If all scores are equal, all become 0.

    Args:
      scores: [B, C, S] float32.
      inside: [B, C] whether the mean and the deviation include the candidate.
    """
    known = tf.math.is_finite(scores)
    counted = known & inside[..., tf.newaxis]
    exact = tf.where(known, tf.cast(scores, tf.float64), 0.0)
    count = tf.maximum(tf.reduce_sum(tf.cast(counted, tf.float64), axis=1, keepdims=True), 1.0)
    mean = tf.reduce_sum(tf.where(counted, exact, 0.0), axis=1, keepdims=True) / count
    centred = tf.where(known, exact - mean, 0.0)
    variance = tf.reduce_sum(tf.where(counted, centred**2, 0.0), axis=1, keepdims=True) / count
    largest = tf.reduce_max(tf.where(counted, tf.abs(exact), 0.0), axis=1, keepdims=True)
    deviation = tf.sqrt(variance)
    scaled = tf.where(deviation > SMALLEST * largest, centred / deviation, 0.0)
    return tf.cast(tf.where(tf.math.is_finite(scaled), scaled, 0.0), tf.float32)


class LinearInputs(tf.Module):
    """The inputs of B queries with C candidates each, from transformed columns.

    - Each score of the retriever, standardised within the query, and whether it is unknown.
    - log(1 + rank) of each rank of the retriever.
    - The signals that the ranker computes, standardised over train in two forms; see `Signals`.
    - The numbers and the values of the candidate's features. The id is no input; see `TreeInputs`.

    An input that has the same value for all candidates of each train list has no effect on the loss and is left out.
    The mean and the deviation of a score are those of the first `depth` candidates of the retriever, as many as a list
    of train has. So items that are added to the lists of train do not change them, nor does the length of a list.
    """

    def __init__(self, data: RankingData):
        super().__init__()
        self.ranks = [name for name in data.retrieval_signals if is_rank(name)]
        self.scores = [name for name in data.retrieval_signals if not is_rank(name)]
        filled = data.train[names.WEIGHT] > 0
        of_train = data.train[names.RETRIEVAL_RANK][filled]
        self.depth = 1.0 + float(np.nanmax(of_train, initial=0.0))
        means = [np.log1p(_known(data.train[name][filled])) for name in self.ranks]
        self.rank_means = np.array([each.mean() if len(each) else 0.0 for each in means], np.float32)
        self.computed = Signals(replace(data, retrieval_signals=()))
        outputs = [(name, output) for name, feature in data.item.items() for output in feature.outputs(name)]
        self.numeric = [(output.column, output.width) for _, output in outputs if isinstance(output, Numbers)]
        self.indices = [output for _, output in outputs if isinstance(output, Indices)]
        self.sizes = {output.column: data.sizes[output.column] for output in self.indices}
        self.owners = [*self.scores, *self.scores, *self.ranks, *self.computed.names, *self.computed.names]
        self.owners += [column for column, width in self.numeric for _ in range(width or 1)]
        self.kept: np.ndarray | None = None

    def keep(self, kept: np.ndarray) -> None:
        """Leave all numbers out but those at the given positions [P]."""
        self.kept, self.owners = kept, [self.owners[each] for each in kept]

    def numbers(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the numeric inputs [B, C, P]; the column that each of them comes from is in `owners`."""
        scores = tf.stack([columns[name] for name in self.scores], axis=-1)
        inside = (columns[names.ITEM_ID] > 0) & (columns[names.RETRIEVAL_RANK] < self.depth)
        unknown = tf.cast(~tf.math.is_finite(scores), tf.float32)
        ranks = tf.stack([columns[name] for name in self.ranks], axis=-1)
        logs = tf.where(tf.math.is_finite(ranks), tf.math.log1p(tf.maximum(ranks, 0.0)), self.rank_means)
        parts = [standardised(scores, inside), unknown, logs, self.computed(columns)]
        for column, width in self.numeric:
            parts.append(columns[column] if width else columns[column][..., tf.newaxis])
        numbers = tf.concat(parts, axis=-1)
        return numbers if self.kept is None else tf.gather(numbers, self.kept, axis=-1)

    def values(self, columns: dict[str, tf.Tensor]) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Return for each column of indices the indices and their shares, [B, C, V] each; shares sum to 1 or 0."""
        parts = []
        for output in self.indices:
            indices = columns[output.column] if output.several else columns[output.column][..., tf.newaxis]
            shares = tf.cast(indices > 0, tf.float32) if output.weights is None else columns[output.weights]
            shares = tf.where(indices > 0, shares, 0.0)
            parts.append((indices, tf.math.divide_no_nan(shares, tf.reduce_sum(shares, axis=-1, keepdims=True))))
        return parts


def _known(values: np.ndarray) -> np.ndarray:
    """Return the finite values, in float64."""
    return np.maximum(values[np.isfinite(values)].astype(np.float64), 0.0)
