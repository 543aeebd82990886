"""The order of the ranker's scores, and the relevance of a candidate on a scale that all rankers share."""

import numpy as np


def order(scores: np.ndarray, fixed: np.ndarray | None = None) -> np.ndarray:
    """Return [Q, C] the positions of the candidates by descending score; ties keep their order.

    Args:
      scores: [Q, C], -inf for padding, which comes last and stays last.
      fixed: [Q, C] bool, candidates that keep their position; None for none.
    """
    if fixed is None:
        return np.argsort(-scores, axis=1, kind="stable")
    by_score = np.argsort(np.where(fixed, np.nan, -scores), axis=1, kind="stable")  # NaN sorts last
    positions = np.argsort(fixed, axis=1, kind="stable")  # of the free candidates, then of the fixed ones
    result = np.empty_like(by_score)
    np.put_along_axis(result, positions, by_score, axis=1)
    return result


def relevance(scores: np.ndarray) -> np.ndarray:
    """Return [Q, C] the NDCG discount of each candidate's position, 1 / log2(1 + position from 1): 1, 0.63, 0.5, ….

    The scale does not depend on that of the ranker's scores, so a weight means the same for every ranker and list, and
    differences are largest at the first positions, of which the ranker is surest.

    Args:
      scores: [Q, C] of the candidates in the ranker's order; -inf for padding, which stays -inf.

    Source of the discount: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques (TOIS 2002).
    """
    return np.where(np.isfinite(scores), 1 / np.log2(np.arange(scores.shape[1]) + 2.0), -np.inf)
