"""Tables of neighbours: the most that each row of a square matrix says of others. NumPy and SciPy only."""

import numpy as np
import scipy.sparse as sp

from trainer.retrieval.settings import Similarity

# These bound the memory: what so many rows have in common with all others is held at once.
ROWS_AT_ONCE, CELLS_AT_ONCE = 1024, 2**25


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
    step = max(1, min(ROWS_AT_ONCE, CELLS_AT_ONCE // max(n_items, 1)))
    for start in range(0, n_items, step):
        common = (by_item[start : start + step] @ table).tocoo()
        other = (common.row + start != common.col) & (common.data > 0)
        row, column, both = common.row[other], common.col[other], common.data[other]
        near = both / (denominator(squares[row + start], squares[column], both, similarity) + added)
        if 0 < width < n_items - 1:  # so that the few that can be kept are sorted, not all
            cells = np.zeros(common.shape, near.dtype)
            cells[row, column] = near
            least = np.partition(cells, n_items - width, axis=1)[:, n_items - width]
            kept = near >= least[row]
            row, column, near = row[kept], column[kept], near[kept]
        rows = slice(start, start + common.shape[0])
        found[rows], alike[rows] = first_of_rows(row, column, near, common.shape[0], width)
    return found, alike


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
