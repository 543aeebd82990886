"""How much a candidate brings the list's shares of categories towards those of the user's history."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from scipy import sparse

from serving.rerank.candidates import CandidateFeatures

SMOOTHING = 0.01  # α of the paper: what the list lacks is never infinitely wrong


def tastes(history: pa.ListArray, item_rows: Mapping[str, int], shares: sparse.csr_array) -> np.ndarray:
    """Return [Q, G] each category's share of a user's history, p(g|u); all zero where the history tells none.

    Args:
      history: [Q] lists of item ids.
      item_rows: item id → row of the catalogue; other items are not looked at.
      shares: [N, G] p(g|i), each category's share of an item.
    """
    lengths = history.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    rows = np.fromiter((item_rows.get(each, -1) for each in history.flatten().to_pylist()), np.int64)
    known = rows >= 0
    owner = np.repeat(np.arange(len(history)), lengths)[known]
    met = sparse.csr_array((np.ones(len(owner)), (owner, rows[known])), shape=(len(history), shares.shape[0]))
    sums = (met @ shares).toarray()
    total = sums.sum(axis=1, keepdims=True)
    return sums / np.where(total > 0, total, 1.0)


class Calibration:
    """Less the Kullback-Leibler divergence of the list's shares from the user's.

    C(p, q) = Σ_g p(g|u) log(p(g|u) / q̃(g)), with q̃ = (1 - α) q + α p and q the mean of p(g|i) over the list. What all
    candidates of a list share is left out of the gain, so only the categories of a candidate are looked at.

    Source: Steck, Calibrated recommendations (RecSys 2018), equations 2 to 6, with all weights of items 1; greedy as
    in its section 4.

    Args:
      features: p(g|i) of the candidates.
      tastes: [Q, G] of `tastes`; without any, no candidate gains.
    """

    def __init__(self, features: CandidateFeatures, tastes: np.ndarray):
        self._features = features
        self._wanted = tastes.ravel()[features.keys]
        self._listed = np.zeros(len(self._wanted))
        self._chosen = 0
        matrix = features.matrix.tocoo()
        useful = self._wanted[matrix.col] > 0
        self._candidate, self._category, self._share = matrix.row[useful], matrix.col[useful], matrix.data[useful]

    def gains(self) -> np.ndarray:
        """[Q, C] not negative."""
        size = self._chosen + 1
        before = (1 - SMOOTHING) * self._listed / size + SMOOTHING * self._wanted
        more = (1 - SMOOTHING) * self._share / size
        gains = self._wanted[self._category] * np.log1p(more / before[self._category])
        return np.bincount(self._candidate, gains, self._features.matrix.shape[0]).reshape(self._features.shape)

    def take(self, places: np.ndarray) -> None:
        """Choose the candidates at `places` [Q]."""
        self._listed += self._features.of(places)
        self._chosen += 1
