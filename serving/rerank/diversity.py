"""The rules `mmr` and `dpp`: diversity of the items of a list."""

import numpy as np

from core.queries import Queries
from serving.rerank import settings
from serving.rerank.candidates import CandidateFeatures
from serving.rerank.items import Items
from serving.rerank.rule import SelectionRule

# The weight of the identity matrix in the DPP's kernel, which keeps the kernel positive definite for items with the
# same features. Otherwise, in a list longer than the rank of the features, all gains would be -inf, and rounding errors
# would decide the order.
REGULARIZATION = 0.1


class MMR(SelectionRule[settings.MMR]):
    """Maximal marginal relevance: the gain of a candidate is minus its similarity to the selected items.

    Source: Carbonell and Goldstein, The use of MMR (SIGIR 1998): argmax λ rel(i) - (1 - λ) max_j sim(i, j), with our
    weight as 1 - λ. With the mean in place of the maximum, the selection is the greedy solution of max-sum
    diversification (Borodin, Lee and Ye, PODS 2012).
    """

    def __init__(self, settings: settings.MMR, items: Items):
        super().__init__(settings, items)
        self._vectors = items.unit_vectors

    @property
    def weight(self) -> float:
        """Return the share of diversity in the score of a candidate."""
        return self.settings.weight

    def term(self, queries: Queries, rows: np.ndarray, k: int) -> "MMRTerm":
        """Return the state of the rule for the candidates at `rows`."""
        return MMRTerm(CandidateFeatures(self._vectors, rows), self.settings.similarity == "max")


class MMRTerm:
    """The similarity of each candidate to the selected items.

    Args:
      features: unit vectors of the candidates.
      use_max: whether to take the maximum similarity; otherwise the mean.
    """

    def __init__(self, features: CandidateFeatures, use_max: bool):
        self._features, self._use_max = features, use_max
        self._similarity, self._selected = np.zeros(features.shape), 0

    def gains(self) -> np.ndarray:
        """Return [Q, C] minus the similarity; in [-1, 0] where no feature is negative."""
        return -self._similarity if self._use_max else -self._similarity / max(1, self._selected)

    def select(self, positions: np.ndarray) -> None:
        """Record the candidates at `positions` [Q] as selected."""
        to_last = self._features.dot(self._features.of(positions))
        self._similarity = np.maximum(self._similarity, to_last) if self._use_max else self._similarity + to_last
        self._selected += 1


class DPP(SelectionRule[settings.DPP]):
    """Greedy MAP inference of a determinantal point process.

    The gain of a candidate is the increase of log det S by its selection. S = (1 - ε) cos + ε · I, with
    ε = `REGULARIZATION`, is the kernel of the selected items, and det S the squared volume that they span. For a kernel
    L = diag(q) S diag(q) with qualities q, log det L = Σ 2 log q + log det S, so relevance is an added term.

    Source: Chen, Zhang and Zhou, Fast greedy MAP inference for determinantal point process (NeurIPS 2018), algorithm 1.
    """

    def __init__(self, settings: settings.DPP, items: Items):
        super().__init__(settings, items)
        self._vectors = items.unit_vectors

    @property
    def weight(self) -> float:
        """Return the share of diversity in the score of a candidate."""
        return self.settings.weight

    def term(self, queries: Queries, rows: np.ndarray, k: int) -> "DPPTerm":
        """Return the state of the rule for the candidates at `rows`."""
        return DPPTerm(CandidateFeatures(self._vectors, rows), k)


class DPPTerm:
    """The Cholesky factor of the selected items' kernel, which grows by one row with each selection.

    Args:
      features: unit vectors of the candidates.
      k: the number of items to be selected.
    """

    def __init__(self, features: CandidateFeatures, k: int):
        self._features = features
        count, width = features.shape
        self._factor = np.zeros((count, k, width), np.float32)
        self._variance = np.ones(features.shape)  # d² in algorithm 1 of Chen, Zhang and Zhou
        self._lists, self._selected = np.arange(count), 0

    def gains(self) -> np.ndarray:
        """Return [Q, C] log d², divided by -log ε, so that it lies approximately in [-1, 0]."""
        return np.log(self._variance) / -np.log(REGULARIZATION)

    def select(self, positions: np.ndarray) -> None:
        """Record the candidates at `positions` [Q] as selected."""
        factor = self._factor[:, : self._selected]
        kernel = (1 - REGULARIZATION) * self._features.dot(self._features.of(positions))
        of_selected = factor[self._lists, :, positions]
        row = kernel - np.matmul(of_selected[:, None], factor)[:, 0]
        row /= np.sqrt(self._variance[self._lists, positions])[:, None]
        self._factor[:, self._selected] = row
        # In exact arithmetic d² is at least the smallest eigenvalue of S; the maximum corrects rounding errors.
        self._variance = np.maximum(self._variance - row**2, REGULARIZATION)
        self._selected += 1
