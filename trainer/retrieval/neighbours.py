"""The items that are met together most. NumPy and SciPy only."""

import numpy as np
import scipy.sparse as sp

ROWS_AT_ONCE = 1024  # bounds the memory: their common users with all items are held at once


def nearest(met: sp.csr_matrix, neighbours: int, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """The nearest columns of each column.

    Args:
      met: [U, N] 0/1.
      neighbours: the most that are kept; M is this, or all the others where the columns are fewer.
      shrinkage: added to the denominator.
    Returns:
      [N, M] int32 columns, nearest first, of equally near ones the lower first; [N, M] float32 cosines, 0 past the last
      neighbour.
    """
    n_items = met.shape[1]
    width = min(neighbours, max(n_items - 1, 0))
    norms = np.sqrt(np.asarray(met.sum(axis=0)).ravel())
    by_item = met.T.tocsr()
    found = np.zeros((n_items, width), np.int32)
    cosines = np.zeros((n_items, width), np.float32)
    for start in range(0, n_items, ROWS_AT_ONCE):
        common = (by_item[start : start + ROWS_AT_ONCE] @ met).tocoo()
        other = common.row + start != common.col
        row, column = common.row[other], common.col[other]
        cosine = common.data[other] / (norms[row + start] * norms[column] + shrinkage)
        order = np.lexsort((column, -cosine, row))
        row, column, cosine = row[order], column[order], cosine[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        kept = place < width
        found[row[kept] + start, place[kept]] = column[kept]
        cosines[row[kept] + start, place[kept]] = cosine[kept]
    return found, cosines
