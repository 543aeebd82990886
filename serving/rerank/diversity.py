"""How much a candidate adds to the diversity of the items chosen before it: MMR and DPP."""

import numpy as np
from scipy import sparse

from serving.rerank.candidates import CandidateFeatures

# What two items of the same features are still unlike. It keeps a list going that is longer than the features can tell
# apart, where every candidate left would add nothing at all and the choice among them would be rounding error.
OWN = 0.1


def unit_rows(vectors: sparse.csr_array) -> sparse.csr_array:
    """Rows of length 1, so that an inner product is the cosine; a zero row stays."""
    length = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    return sparse.csr_array(sparse.diags_array(1 / np.where(length > 0, length, 1.0)) @ vectors)


class MMR:
    """Maximal marginal relevance: less the likeness to those chosen, in the mean or to the most alike.

    Source: Carbonell and Goldstein, The use of MMR (SIGIR 1998): argmax λ rel(i) - (1 - λ) max_j sim(i, j), with our
    weight as 1 - λ. The mean in the place of the max makes it the greedy solution of max-sum diversification (Borodin,
    Lee and Ye, PODS 2012).

    Args:
      features: of unit length.
      nearest: whether the most alike alone counts.
    """

    def __init__(self, features: CandidateFeatures, nearest: bool):
        self._features, self._nearest = features, nearest
        self._likeness, self._chosen = np.zeros(features.shape), 0

    def gains(self) -> np.ndarray:
        """[Q, C] in [-1, 0] where no feature is negative."""
        return -self._likeness if self._nearest else -self._likeness / max(1, self._chosen)

    def take(self, places: np.ndarray) -> None:
        """Choose the candidates at `places` [Q]."""
        to_last = self._features.times(self._features.of(places))
        self._likeness = np.maximum(self._likeness, to_last) if self._nearest else self._likeness + to_last
        self._chosen += 1


class DPP:
    """Greedy MAP inference of a determinantal point process: the growth of log det of the chosen items' likeness.

    The likeness is S = (1 - OWN) cos + OWN · I, and det S the squared volume that the chosen items span. With
    L = diag(q) S diag(q), log det L = Σ 2 log q + log det S, so relevance on a log scale adds to the gain.

    Source: Chen, Zhang and Zhou, Fast greedy MAP inference for determinantal point process (NeurIPS 2018), algorithm 1:
    a row of the Cholesky factor grows with each choice, and d² is what remains of each candidate.

    Args:
      features: of unit length.
      k: how many are to be chosen.
    """

    def __init__(self, features: CandidateFeatures, k: int):
        self._features = features
        count, width = features.shape
        self._factor = np.zeros((count, k, width), np.float32)
        self._left = np.ones(features.shape)
        self._lists, self._chosen = np.arange(count), 0

    def gains(self) -> np.ndarray:
        """[Q, C] log d² over that of an item like another, so that it lies about in [-1, 0]."""
        return np.log(self._left) / -np.log(OWN)

    def take(self, places: np.ndarray) -> None:
        """Choose the candidates at `places` [Q]."""
        known = self._factor[:, : self._chosen]
        likeness = (1 - OWN) * self._features.times(self._features.of(places))
        of_chosen = known[self._lists, :, places]
        row = likeness - np.matmul(of_chosen[:, None], known)[:, 0]
        row /= np.sqrt(self._left[self._lists, places])[:, None]
        self._factor[:, self._chosen] = row
        self._left = np.maximum(self._left - row**2, OWN)  # no d² is below the least eigenvalue of S
        self._chosen += 1
