"""Vectors whose cosines are similarities, one function for each type of column. NumPy, Arrow and SciPy only."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

_BETWEEN_WORDS = r"[^\pL\pM\pN]+"  # the same as in `transform.graph.words`


def of_categories(column: pa.StringArray) -> sparse.csr_array:
    """Return one-hot vectors of categories: the cosine is 1 for equal categories, else 0."""
    return _indicators(np.arange(len(column)), column, len(column))


def of_sets(lists: pa.ListArray) -> sparse.csr_array:
    """Return vectors of sets of values, each of length 1: the cosine is |A ∩ B| / √(|A| |B|)."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return _indicators(np.repeat(np.arange(len(lists)), lengths), lists.flatten(), len(lists))


def words(column: pa.StringArray) -> pa.ListArray:
    """Return the words of texts in lower case."""
    return pc.split_pattern_regex(pc.utf8_lower(column), _BETWEEN_WORDS)


def of_vectors(column: pa.ListArray, size: int) -> sparse.csr_array:
    """Return the vectors divided by their L2 norms, zeros for a missing vector: [N, size]."""
    vectors = np.zeros((len(column), size))
    whole = pc.fill_null(pc.equal(pc.list_value_length(column), size), False)  # a missing vector may be an empty list
    vectors[whole.to_numpy(zero_copy_only=False)] = column.filter(whole).flatten().to_numpy().reshape(-1, size)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return sparse.csr_array(np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0))


def of_numbers(column: pa.Array) -> sparse.csr_array:
    """Return numbers as points on a quarter circle by rank, zeros for a missing number: [N, 2].

    The cosine of two numbers is cos(π/2 · |u - v|) with u and v their relative ranks, from 0 for the lowest to 1 for
    the highest.
    """
    angle = np.pi / 2 * _relative_ranks(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return sparse.csr_array(np.nan_to_num(np.stack([np.cos(angle), np.sin(angle)], axis=1)))


def _indicators(rows: np.ndarray, values: pa.StringArray, n_rows: int) -> sparse.csr_array:
    """Return indicator vectors, of L2 norm 1, of the distinct values of each row, without missing and empty values."""
    present = pc.fill_null(pc.not_equal(values, ""), False).to_numpy(zero_copy_only=False)
    encoded = values.filter(pa.array(present)).dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    block = sparse.csr_array((np.ones(len(codes)), (rows[present], codes)), shape=(n_rows, len(encoded.dictionary)))
    block.sum_duplicates()
    # A repeated value of a row counts once.
    block.data = np.repeat(1 / np.sqrt(np.maximum(np.diff(block.indptr), 1)), np.diff(block.indptr))
    return block


def _relative_ranks(numbers: np.ndarray) -> np.ndarray:
    """Return the rank of each number, scaled to [0, 1]; NaN stays NaN: [N].

    Equal numbers have the mean of their ranks, which is one half if all numbers are equal.
    """
    present = ~np.isnan(numbers)
    _, value, counts = np.unique(numbers[present], return_inverse=True, return_counts=True)
    ranks = np.full(len(numbers), np.nan)
    middle = np.cumsum(counts) - counts + (counts - 1) / 2
    most = max(present.sum() - 1, 1)
    ranks[present] = middle[value] / most if len(counts) > 1 else 0.5
    return ranks
