"""The candidates' order by the ranker's scores, and their relevance on a scale that is the same for all rankers."""

import numpy as np


def order(scores: np.ndarray, fixed: np.ndarray | None = None) -> np.ndarray:
    """Return [Q, C] the positions of the candidates by descending score; ties keep their order.

    Args:
      scores: [Q, C], -inf for padding, which comes last and stays last.
      fixed: [Q, C] bool, whether a candidate keeps its position; None if none does.
    """
    if fixed is None:
        return np.argsort(-scores, axis=1, kind="stable")
    by_score = np.argsort(np.where(fixed, np.nan, -scores), axis=1, kind="stable")  # NaN sorts last
    positions = np.argsort(fixed, axis=1, kind="stable")  # those of the other candidates, then those of the fixed ones
    result = np.empty_like(by_score)
    np.put_along_axis(result, positions, by_score, axis=1)
    return result


def relevance(scores: np.ndarray) -> np.ndarray:
    """Return [Q, C] the NDCG discount of each candidate's position, 1 / log2(1 + position from 1): 1, 0.63, 0.5, ….

    The value does not depend on the scale of the ranker's scores, so a rule's weight has the same effect for every
    ranker and list. Differences are largest at the first positions, where the ranker is most certain.

    Args:
      scores: [Q, C] the scores of the candidates, in the ranker's order; -inf for padding, which stays -inf.

    Source of the discount: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques (TOIS 2002).
    """
    return np.where(np.isfinite(scores), 1 / np.log2(np.arange(scores.shape[1]) + 2.0), -np.inf)
