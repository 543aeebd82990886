"""Tables of neighbours: the most that each row of a square matrix says of others. NumPy and SciPy only."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from core import progress
from trainer.retrieval.settings import Similarity

# This bounds the memory: what items have in common is held for so many pairs of them at once.
CELLS_AT_ONCE = 2**24


def nearest(
    table: sp.csr_matrix, neighbours: int, shrinkage: float, similarity: Similarity = "cosine"
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest columns of each column.

    Args:
      table: [U, N] weights, none negative; 0/1 where there are none.
      neighbours: the most that are kept; M is this, or all the others where the columns are fewer.
      shrinkage: added to the denominator, in events of mean weight; for 0/1 that is as it stands.
      similarity: of columns a and b: a·b / (|a| |b|), or a·b / (|a|² + |b|² - a·b), which for 0/1 is Jaccard's.
    Returns:
      [N, M] int32 columns, nearest first, of equally near ones the lower first; [N, M] float32 similarities, 0 past the
      last neighbour.
    """
    n_items = table.shape[1]
    width = min(neighbours, max(n_items - 1, 0))
    squares = np.asarray(table.multiply(table).sum(axis=0), np.float32).ravel()
    added = shrinkage * mean_square(table)
    by_item = table.T.tocsr()
    found = np.zeros((n_items, width), np.int32)
    alike = np.zeros((n_items, width), np.float32)
    done = 0
    for items in blocks(by_item, table):
        common = by_item[items] @ table
        sizes = np.diff(common.indptr)
        row, column, both = np.repeat(np.arange(len(items)), sizes), common.indices, common.data
        near = both / (denominator(np.repeat(squares[items], sizes), squares[column], both, similarity) + added)
        near[column == np.repeat(items, sizes)] = 0
        kept = (near > 0) & (near >= least_kept(near, sizes, width)[row])
        found[items], alike[items] = first_of_rows(row[kept], column[kept], near[kept], len(items), width)
        done += len(items)
        progress.report(f"neighbours of {done:,} of {n_items:,} items")
    return found, alike


def blocks(by_item: sp.csr_matrix, table: sp.csr_matrix) -> Iterator[np.ndarray]:
    """All items, those first that have rows in common with the most others, in parts of CELLS_AT_ONCE such pairs.

    Items of a part have about as many pairs each, so that a dense matrix of them is little larger than they are.
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


def least_kept(values: np.ndarray, sizes: np.ndarray, width: int) -> np.ndarray:
    """[R] of each row of a sparse matrix its `width`-th largest value, or 0 where it has no more than that.

    Args:
      values: [nnz] none negative, row after row.
      sizes: [R] how many of them are each row's.
    """
    longest = int(sizes.max(initial=0))
    if not 0 < width < longest:
        return np.zeros(len(sizes), values.dtype)
    cells = np.zeros((len(sizes), longest), values.dtype)
    cells[np.arange(longest) < sizes[:, np.newaxis]] = values
    cells.partition(longest - width, axis=1)
    return cells[:, longest - width]


def mean_square(table: sp.csr_matrix) -> float:
    """The mean of the squared weights, 0 where there are none."""
    return float(np.mean(table.data**2)) if table.nnz else 0.0


def denominator(square, other_square, both, similarity: Similarity):
    """What the product `both` of two vectors is divided by, from it and their squared lengths."""
    if similarity == "cosine":
        return (square * other_square) ** 0.5
    return square + other_square - both


def first_of_rows(
    row: np.ndarray, column: np.ndarray, value: np.ndarray, n_rows: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """The largest entries of each row of a sparse matrix, given as its entries in any order.

    Returns:
      [R, width] int32 columns, largest first, of equal ones the lower first; [R, width] float32 values, then 0.
    """
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = place < width
    columns = np.zeros((n_rows, width), np.int32)
    values = np.zeros((n_rows, width), np.float32)
    columns[row[kept], place[kept]] = column[kept]
    values[row[kept], place[kept]] = value[kept]
    return columns, values


def largest(weights: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The entries of each row of a dense matrix that are largest without their sign.

    Args:
      weights: [R, N].
      width: how many are kept, at most N.
    Returns:
      [R, width] int32 columns in ascending order, of equally large ones the lower kept; [R, width] float32 weights.
    """
    if not width:
        return np.zeros((len(weights), 0), np.int32), np.zeros((len(weights), 0), np.float32)
    size = np.abs(weights)
    least = np.partition(size, size.shape[1] - width, axis=1)[:, size.shape[1] - width, np.newaxis]
    above, at = size > least, size == least
    kept = above | (at & (np.cumsum(at, axis=1) <= width - above.sum(axis=1, keepdims=True)))
    columns = np.nonzero(kept)[1].reshape(len(weights), width)
    return columns.astype(np.int32), np.take_along_axis(weights, columns, axis=1).astype(np.float32)
