"""SLIT: a linear model of the next items from the history, in closed form.

Source: Choi et al., "Session-aware linear item-item models for session-based recommendation", WWW 2021, the model SLIT.
With a row of S for each history, in which later events lower the weight of an item, and in T the events that followed,
ridge regression has the weights

    B = (SᵀS + λI)⁻¹ SᵀT

Unlike in EASE the order of events counts, and an item may predict itself. Here a history is that of a user rather than
of a session, T has the next events rather than all later ones, and all histories have the same weight.
"""

import math

import numpy as np
from scipy.linalg import lapack

from core import progress
from core.errors import ModelError
from trainer.retrieval.contract import NeighbourhoodModel, RetrievalData, decay
from trainer.retrieval.interactions import by_user_and_time
from trainer.retrieval.linear.settings import SLITSettings
from trainer.retrieval.linear.transitions import sums
from trainer.retrieval.neighbours.nearest import largest

ROWS_AT_ONCE = 512
HALF_LIVES = 10  # of the events of a history that a fit uses; the weights of older ones are below a thousandth


def fit(settings: SLITSettings, data: RetrievalData, seed: int) -> NeighbourhoodModel:
    """Return a model with the weights of all items that have events, of each row those of the largest absolute values.

    Raises:
      ModelError: the matrices take more than `memory_gb`.
    """
    order, later = by_user_and_time(data.users, data.timestamps)
    items, of_event = np.unique(data.items[order], return_inverse=True)
    _check_memory(len(items), settings.memory_gb)
    width = min(settings.neighbours, len(items))
    neighbours, weights = (np.zeros((data.n_items, width), kind) for kind in (np.int32, np.float32))
    reach = data.features.history_length
    if settings.half_life is not None:
        reach = min(reach, math.ceil(HALF_LIVES * settings.half_life))
    factor = float(decay(1, settings.half_life))
    table = ridge(*sums(of_event, later, len(items), factor, settings.horizon, reach), settings.l2)
    for start in range(0, len(items), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        kept, weights[items[rows]] = largest(table[rows], width)
        neighbours[items[rows]] = items[kept]
    return NeighbourhoodModel(data, settings, neighbours, weights, data.counts(), settings.half_life)


def ridge(gram: np.ndarray, cross: np.ndarray, l2: float) -> np.ndarray:
    """Return (G + λI)⁻¹ C of G and C [N, N] float32 in Fortran order, both of which are overwritten.

    λ is l2 times the mean of the diagonal of G, so that the same `l2` suits data of any size. Without histories, where
    G is 0, the result is 0.

    Raises:
      ModelError: G + λI is not positive definite in single precision.
    """
    added = l2 * float(np.diag(gram).mean()) if len(gram) else 0.0
    if not added:
        return cross
    gram[np.diag_indices(len(gram))] += added
    progress.report(f"solving for {len(gram):,} items")
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if failed:
        raise ModelError(f"slit cannot solve for {len(gram):,} items. Raise `l2`, which is {l2:g}.")
    return lapack.spotrs(factor, cross, lower=1, overwrite_b=1)[0]


def _check_memory(n_items: int, memory_gb: float) -> None:
    """Check that two matrices of items × items take at most `memory_gb`. Raises: ModelError."""
    needed = 8 * n_items**2 / 1e9
    if needed > memory_gb:
        raise ModelError(
            f"slit needs two matrices of the {n_items:,} items with events, which take {needed:.1f} GB; memory_gb is "
            f"{memory_gb:g}. Raise `memory_gb`, or use item_knn with a half_life, which needs no such matrix."
        )
