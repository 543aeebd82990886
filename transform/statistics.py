"""Statistics of columns from values and their weights, the numbers of events. NumPy and Arrow only."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NO_VALUE = b"\xef\xbf\xbf no value"  # U+FFFF is no character, so no text has this value


def vocabulary(values: np.ndarray, weights: np.ndarray, min_count: int, most: int | None) -> list[bytes]:
    """Return the `most` most frequent values of those that occur at least `min_count` times, the most frequent first.

    Of equally frequent values the one with the largest bytes is first, as in TensorFlow Transform. Empty values and
    those with a line break are left out, since a vocabulary is a file with a value per line.

    Args:
      values: [V] bytes.
      weights: [V] int64, how often each value occurs.
      min_count: the minimum count.
      most: the maximum number of values; None for no maximum.
    """
    table = pa.table({"value": pa.array(values, pa.binary()), "count": pa.array(weights, pa.int64())})
    counts = table.group_by("value").aggregate([("count", "sum")])
    lines = pc.match_substring_regex(counts["value"], r"^$|[\n\r]")
    counts = counts.filter(pc.and_(pc.invert(lines), pc.greater_equal(counts["count_sum"], min_count)))
    order = pc.sort_indices(counts, [("count_sum", "descending"), ("value", "descending")])
    return counts["value"].take(order[:most] if most is not None else order).to_pylist()


def grown(found: list[bytes], earlier: Sequence[bytes]) -> list[bytes]:
    """Return an earlier vocabulary, then the values of a new one that it lacks, so that each value keeps its index."""
    known = {NO_VALUE, *earlier}
    return [*(value for value in earlier if value != NO_VALUE), *(value for value in found if value not in known)]


def moments(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return [mean, variance], computed in double precision; 0 for no values."""
    total = weights.sum()
    if not total:
        return np.zeros(2)
    wide = values.astype(np.float64)
    mean = (wide * weights).sum() / total
    return np.array([mean, (weights * (wide - mean) ** 2).sum() / total])


def limits(values: np.ndarray) -> np.ndarray:
    """Return [least, greatest]; 0 for no values."""
    return np.array([values.min(), values.max()], np.float64) if len(values) else np.zeros(2)


def quantiles(values: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Return the [count - 1] boundaries of `count` buckets with equal numbers of events; 0 for no values.

    Boundary i is the least value that more than i / count of the events do not exceed; a value equal to a boundary
    falls into the bucket above it.
    """
    if not len(values):
        return np.zeros(count - 1)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    wanted = np.arange(1, count) * reached[-1] / count
    return values[order][np.searchsorted(reached, wanted, side="right")].astype(np.float64)


def document_counts(rows: np.ndarray, indices: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Return [W + 1] float64: the number of documents with each word, and the number of all documents.

    Args:
      rows, indices: [V] the row of each word, and its index in the vocabulary.
      weights: [R] the number of documents of each row.
      size: W, the number of words in the vocabulary.
    """
    pairs = np.unique(rows * max(size, 1) + indices)
    counts = np.bincount(pairs % max(size, 1), weights[pairs // max(size, 1)], size)
    return np.append(counts, weights.sum())
