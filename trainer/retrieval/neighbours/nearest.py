"""The nearest columns of a sparse matrix, and the largest entries of each row. NumPy and SciPy only."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from core import progress
from trainer.retrieval.neighbours.settings import Similarity

# The maximum number of pairs of items whose inner products are computed at once, which bounds the memory.
CELLS_AT_ONCE = 2**24


def nearest(
    table: sp.csr_matrix, neighbours: int, shrinkage: float, similarity: Similarity = "cosine"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest columns of each column.

    Args:
      table: [U, N] weights, none negative.
      neighbours: the maximum number of neighbours kept; M is the smaller of this and the number of other columns.
      shrinkage: the constant added to the denominator of a similarity, in units of the mean squared weight.
      similarity: the similarity of columns a and b: a·b / (|a| |b|) for `cosine`, a·b / (|a|² + |b|² - a·b) for
        `jaccard`, which is the Jaccard index if weights are 0 and 1.
    Returns:
      [N, M] int32 columns, nearest first, ties by column; [N, M] float32 similarities, 0 after the last neighbour.
    """
    n_items = table.shape[1]
    width = min(neighbours, max(n_items - 1, 0))
    squares = np.asarray(table.multiply(table).sum(axis=0), np.float32).ravel()
    added = shrinkage * mean_square(table)
    by_item = table.T.tocsr()
    columns = np.zeros((n_items, width), np.int32)
    similarities = np.zeros((n_items, width), np.float32)
    done = 0
    for items in blocks(by_item, table):
        common = by_item[items] @ table
        sizes = np.diff(common.indptr)
        row, column, product = np.repeat(np.arange(len(items)), sizes), common.indices, common.data
        values = product / (denominator(np.repeat(squares[items], sizes), squares[column], product, similarity) + added)
        values[column == np.repeat(items, sizes)] = 0
        kept = (values > 0) & (values >= nth_largest(values, sizes, width)[row])
        columns[items], similarities[items] = first_of_rows(row[kept], column[kept], values[kept], len(items), width)
        done += len(items)
        progress.report(f"neighbours of {done:,} of {n_items:,} items")
    return columns, similarities


def blocks(by_item: sp.csr_matrix, table: sp.csr_matrix) -> Iterator[np.ndarray]:
    """Yield all items in blocks of at most CELLS_AT_ONCE pairs of items with a common row.

    The items with the most pairs come first, so that the items of a block have similar numbers of pairs. A dense matrix
    with a row for each item of a block then has few empty cells.
    """
    items = np.repeat(np.arange(by_item.shape[0]), np.diff(by_item.indptr))
    pairs = np.bincount(items, np.diff(table.indptr)[by_item.indices], by_item.shape[0])
    order = np.argsort(-pairs, kind="stable")
    start = 0
    while start < len(order):
        most = min(max(pairs[order[start]], 1), len(order))
        stop = start + max(1, int(CELLS_AT_ONCE // most))
        yield order[start:stop]
        start = stop


def nth_largest(values: np.ndarray, sizes: np.ndarray, n: int) -> np.ndarray:
    """Return the n-th largest value of each row of a sparse matrix, or 0 for a row with at most n values.

    Args:
      values: [nnz] none negative, row after row.
      sizes: [R] the number of values of each row.
      n: the rank, from 1.
    Returns:
      [R].
    """
    longest = int(sizes.max(initial=0))
    if not 0 < n < longest:
        return np.zeros(len(sizes), values.dtype)
    cells = np.zeros((len(sizes), longest), values.dtype)
    cells[np.arange(longest) < sizes[:, np.newaxis]] = values
    cells.partition(longest - n, axis=1)
    return cells[:, longest - n]


def mean_square(table: sp.csr_matrix) -> float:
    """Return the mean of the squared stored values, 0 for an empty matrix."""
    return float(np.mean(table.data**2)) if table.nnz else 0.0


def denominator(square, other_square, product, similarity: Similarity):
    """Return √(a b) for cosine, a + b − p for Jaccard (Tanimoto), of squared lengths a, b and the inner product p."""
    if similarity == "cosine":
        return (square * other_square) ** 0.5
    return square + other_square - product


def first_of_rows(
    row: np.ndarray, column: np.ndarray, value: np.ndarray, n_rows: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest entries of each row of a sparse matrix, given as its entries in any order.

    Returns:
      [R, width] int32 columns, largest first, ties by column; [R, width] float32 values, 0 after the last entry.
    """
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    position = np.arange(len(row)) - np.searchsorted(row, row)
    kept = position < width
    columns = np.zeros((n_rows, width), np.int32)
    values = np.zeros((n_rows, width), np.float32)
    columns[row[kept], position[kept]] = column[kept]
    values[row[kept], position[kept]] = value[kept]
    return columns, values


def largest(weights: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the entries of each row of a dense matrix with the largest absolute values.

    Args:
      weights: [R, N].
      width: the number kept, at most N.
    Returns:
      [R, width] int32 columns in ascending order, where of equal weights the lower columns are kept; [R, width] float32
      weights.
    """
    if not width:
        return np.zeros((len(weights), 0), np.int32), np.zeros((len(weights), 0), np.float32)
    size = np.abs(weights)
    least = np.partition(size, size.shape[1] - width, axis=1)[:, size.shape[1] - width, np.newaxis]
    above, tied = size > least, size == least
    kept = above | (tied & (np.cumsum(tied, axis=1) <= width - above.sum(axis=1, keepdims=True)))
    columns = np.nonzero(kept)[1].reshape(len(weights), width)
    return columns.astype(np.int32), np.take_along_axis(weights, columns, axis=1).astype(np.float32)
