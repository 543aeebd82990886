"""The list built place by place: at each the candidate that is worth most beside those already chosen."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from serving.rerank.caps import Cap

# Steps far below any score: what a cap forbids comes after all others, then padding.
_FORBIDDEN, _PADDING = 1e6, -1e12


class Term(Protocol):
    """What a candidate is worth beside those chosen."""

    def gains(self) -> np.ndarray:
        """[Q, C]"""

    def take(self, places: np.ndarray) -> None:
        """Choose the candidates at `places` [Q]."""


def greedy(
    relevance: np.ndarray,
    k: int,
    terms: Sequence[tuple[float, Term]],
    caps: Sequence[Cap],
) -> tuple[np.ndarray, np.ndarray]:
    """[Q, k] the places of the chosen candidates, in the order of their choice, of equals the first; and which were
    chosen though a cap forbids them.

    Each choice is the argmax of (1 - Σ w) relevance + Σ w · gain over the candidates that no cap forbids. Where caps
    forbid all that are left, those that the fewest forbid: a list is never cut short. The first places do not depend
    on k.

    Args:
      relevance: [Q, C], -inf for padding.
      k: at most C.
      terms: each with its weight w.
      caps: which candidates are one too many.
    """
    rest = 1.0 - sum(weight for weight, _ in terms)
    given = np.isfinite(relevance)
    worth = np.where(given, rest * np.where(given, relevance, 0.0), _PADDING)
    lists = np.arange(len(relevance))
    order, forced = np.empty((len(relevance), k), np.int64), np.zeros((len(relevance), k), bool)
    for place in range(k):
        total = worth.copy()
        for weight, term in terms:
            total += weight * term.gains()
        exceeded = sum((cap.exceeded() for cap in caps), start=np.zeros(relevance.shape, np.int64))
        total -= _FORBIDDEN * exceeded
        chosen = total.argmax(axis=1)
        order[:, place], forced[:, place] = chosen, exceeded[lists, chosen] > 0
        worth[lists, chosen] = -np.inf
        for _, term in terms:
            term.take(chosen)
        for cap in caps:
            cap.take(chosen)
    return order, forced
