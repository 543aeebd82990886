"""The sums over all histories, and their events after, that SLIT needs. NumPy and SciPy only.

A user with the events i_0 … i_n-1 has a history before each event t > 0. Its weights are γ^(t-1-a) for an event a < t,
and its targets are the events t … t+m-1. A pair of events is in many histories, with weights that form a geometric
series, so the sums over histories become sums over pairs of events, lag by lag.
"""

import numpy as np
import scipy.sparse as sp


def sums(
    items: np.ndarray, later: np.ndarray, n_items: int, decay: float, horizon: int, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return SᵀS and SᵀT, with a row of S and T for each history.

    Args:
      items: [E] item rows, by user and time.
      later: [E] the number of later events of the same user.
      n_items: N.
      decay: γ, the factor by which one more later event lowers the weight of an event in the history.
      horizon: m, the maximum number of events after a history that are its targets.
      reach: the maximum number of events of a history, the latest.
    Returns:
      [N, N] float32 in Fortran order: SᵀS, where S has the weights of the histories' items, and SᵀT, where T has the
      numbers of targets; an item that occurs several times has the sum.
    """
    gram, cross = (np.zeros((n_items, n_items), np.float32, order="F") for _ in range(2))
    for lag in range(reach + horizon):
        first = np.flatnonzero(later >= lag)
        if not len(first):
            break
        pair = items[first], items[first + lag]
        if lag < reach:
            histories = np.minimum(later[first + lag], reach - lag)  # those that contain both events
            weights = decay**lag * _series(decay**2, histories)
            _add(gram, *pair, weights)
            if lag:
                _add(gram, *pair[::-1], weights)
        if lag:
            ages = np.arange(max(0, lag - horizon), min(lag, reach))  # of the first where the second is a target
            _add(cross, *pair, np.full(len(first), (decay**ages).sum()))
    return gram, cross


def _series(ratio: float, terms: np.ndarray) -> np.ndarray:
    """Return 1 + ratio + … of so many terms."""
    return terms.astype(np.float64) if ratio == 1 else (1 - ratio**terms) / (1 - ratio)


def _add(total: np.ndarray, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
    """Add values [P] to cells of a matrix; a cell may be given several times."""
    part = sp.csr_matrix((values, (rows, columns)), shape=total.shape)  # with one sum for each cell
    total[np.repeat(np.arange(len(total)), np.diff(part.indptr)), part.indices] += part.data.astype(np.float32)
