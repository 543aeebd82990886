"""Diversity within lists and between lists."""

from typing import TYPE_CHECKING

import numpy as np

from core.metrics.lists import PADDING

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_QUERIES_AT_ONCE = 4096  # bounds memory


def intra_list_diversity(ranked: np.ndarray, vectors: "csr_matrix", k: int) -> np.ndarray:
    """Return the mean cosine distance between two items of the first k: the mean over pairs of 1 - cos(x_i, x_j).

    With unit vectors, Σ_{i ≠ j} cos(x_i, x_j) = |Σ x_i|² - n, so the pairs need not be enumerated. Two items with the
    same features are at distance 0. Missing positions and items whose vector is zero are left out.

    Args:
      ranked: [Q, K] item rows, padded with -1.
      vectors: [n_items, F] a sparse row of features per item.
      k: the cutoff.
    Returns: [Q] in [0, 1], up to 2 where features are negative; NaN with fewer than two items to compare.

    Source: Smyth and McClave, Similarity vs. diversity (ICCBR 2001); as intra-list similarity, Ziegler et al.,
    Improving recommendation lists through topic diversification (WWW 2005).
    """
    from scipy import sparse

    length = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    has_vector = np.append(length > 0, False)  # padding, -1, reads the appended False
    unit = sparse.diags_array(np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)) @ vectors
    diversity = np.full(len(ranked), np.nan)
    for start in range(0, len(ranked), _QUERIES_AT_ONCE):
        top = ranked[start : start + _QUERIES_AT_ONCE, :k]
        listed = has_vector[top]
        counts = listed.sum(axis=1)
        indicators = sparse.csr_array(
            (np.ones(counts.sum()), top[listed], np.r_[0, np.cumsum(counts)]), shape=(len(top), vectors.shape[0])
        )
        sums = indicators @ unit
        similarity = np.asarray(sums.multiply(sums).sum(axis=1)).ravel() - counts
        pairs = counts * (counts - 1)
        distance = 1 - np.divide(similarity, pairs, out=np.full(len(top), np.nan), where=pairs > 0)
        diversity[start : start + len(top)] = np.maximum(distance, 0.0)
    return diversity


def personalisation(ranked: np.ndarray, n_items: int, k: int) -> float:
    """Return the inter-list diversity: 1 - the mean over all pairs of lists A, B cut at k of |A ∩ B| / √(|A| |B|).

    0 if all lists have the same items in any order, 1 if no two lists share an item. Computed exactly in one pass over
    the lists: with a weight w = 1/√|A| for each list A that holds an item, the item adds (Σ w)² - Σ w² to the sum over
    ordered pairs. Missing positions make a list shorter; empty lists are left out.

    Returns: in [0, 1]; NaN with fewer than two lists.
    Source: Zhou et al., Solving the apparent diversity-accuracy dilemma of recommender systems (PNAS 2010).
    """
    top = ranked[:, :k]
    listed = top != PADDING
    lengths = listed.sum(axis=1)
    n_lists = int((lengths > 0).sum())
    if n_lists < 2:
        return float("nan")
    squares = np.repeat(1 / np.maximum(lengths, 1), lengths)
    items = top[listed]
    shared = np.bincount(items, np.sqrt(squares), n_items) ** 2 - np.bincount(items, squares, n_items)
    return float(np.clip(1 - shared.sum() / (n_lists * (n_lists - 1)), 0.0, 1.0))
