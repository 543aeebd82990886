"""The rule `calibration`: the list's shares of categories follow those of the user's history."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from scipy import sparse

from core.queries import Queries
from serving.rerank import settings
from serving.rerank.candidates import CandidateFeatures
from serving.rerank.items import Items
from serving.rerank.rule import SelectionRule

SMOOTHING = 0.01  # α of Steck (2018), which keeps the divergence finite for a category that the list lacks


class Calibration(SelectionRule[settings.Calibration]):
    """A gain for candidates that bring the list's shares of categories closer to those of the user's history.

    The gain is the decrease of the Kullback-Leibler divergence between the two; see `CalibrationTerm`.
    """

    def __init__(self, settings: settings.Calibration, items: Items):
        super().__init__(settings, items)
        self._rows, self._shares = items.rows, items.shares(settings.column)

    @property
    def weight(self) -> float:
        """Return the share of calibration in the score of a candidate."""
        return self.settings.weight

    def term(self, queries: Queries, rows: np.ndarray, k: int) -> "CalibrationTerm":
        """Return the state of the rule for the candidates at `rows`."""
        target = history_shares(queries.history, self._rows, self._shares)
        return CalibrationTerm(CandidateFeatures(self._shares, rows), target)


def history_shares(history: pa.ListArray, item_rows: Mapping[str, int], shares: sparse.csr_array) -> np.ndarray:
    """Return [Q, G] p(g|u), the share of each category in a user's history; zeros where no item has a category.

    Args:
      history: [Q] lists of item ids.
      item_rows: item id → catalogue row; items of the history that it lacks are skipped.
      shares: [N, G] p(g|i), the share of each category in an item.
    """
    lengths = history.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    rows = np.fromiter((item_rows.get(each, -1) for each in history.flatten().to_pylist()), np.int64)
    known = rows >= 0
    owner = np.repeat(np.arange(len(history)), lengths)[known]
    counts = sparse.csr_array((np.ones(len(owner)), (owner, rows[known])), shape=(len(history), shares.shape[0]))
    sums = (counts @ shares).toarray()
    total = sums.sum(axis=1, keepdims=True)
    return sums / np.where(total > 0, total, 1.0)


class CalibrationTerm:
    """The decrease of the divergence C(p, q) if a candidate is selected next.

    C(p, q) = Σ_g p(g|u) log(p(g|u) / q̃(g)), with q̃ = (1 - α) q + α p and q the mean of p(g|i) over the list. Parts of
    the decrease that are equal for all candidates of a list are left out, so that the gain of a candidate depends only
    on the categories that it has.

    Source: Steck, Calibrated recommendations (RecSys 2018), equations 2 to 6, with all weights of items 1; greedy as
    in its section 4.

    Args:
      features: p(g|i) of the candidates.
      target: [Q, G] from `history_shares`; a row of zeros gives no gain.
    """

    def __init__(self, features: CandidateFeatures, target: np.ndarray):
        self._features = features
        self._target = target.ravel()[features.keys]
        self._sums = np.zeros(len(self._target))
        self._selected = 0
        matrix = features.matrix.tocoo()
        useful = self._target[matrix.col] > 0
        self._candidate, self._category, self._share = matrix.row[useful], matrix.col[useful], matrix.data[useful]

    def gains(self) -> np.ndarray:
        """Return [Q, C], at least 0: the part of the decrease of C(p, q) that differs between candidates."""
        size = self._selected + 1
        before = (1 - SMOOTHING) * self._sums / size + SMOOTHING * self._target
        added = (1 - SMOOTHING) * self._share / size
        gains = self._target[self._category] * np.log1p(added / before[self._category])
        return np.bincount(self._candidate, gains, self._features.matrix.shape[0]).reshape(self._features.shape)

    def select(self, positions: np.ndarray) -> None:
        """Record the candidates at `positions` [Q] as selected."""
        self._sums += self._features.of(positions)
        self._selected += 1
