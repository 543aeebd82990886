"""Greedy selection: at each position, the candidate with the highest score given the candidates selected before."""

from collections.abc import Sequence

import numpy as np

from serving.rerank.rule import Constraint, SelectionTerm

# Offsets larger than any score: excluded candidates come after all others, and padding comes last.
_EXCLUDED, _PADDING = 1e6, -1e12


def greedy(
    relevance: np.ndarray,
    k: int,
    terms: Sequence[tuple[float, SelectionTerm]],
    constraints: Sequence[Constraint],
) -> tuple[np.ndarray, np.ndarray]:
    """Select k candidates of each list.

    Each selection is the argmax of (1 - Σ w) relevance + Σ w · gain over the candidates that no constraint excludes; of
    equal candidates, the first is selected. If every remaining candidate is excluded, the choice is among those that
    the fewest constraints exclude, so that no list is shortened. The selection at a position does not depend on k.

    Args:
      relevance: [Q, C] from `relevance`, plus bonuses; -inf for padding.
      k: at most C.
      terms: selection terms, each with its weight w.
      constraints: the constraints.
    Returns:
      [Q, k] the positions of the selected candidates, in the order of selection; [Q, k] bool, whether a constraint
      excludes the selected candidate.
    """
    rest = 1.0 - sum(weight for weight, _ in terms)
    filled = np.isfinite(relevance)
    base = np.where(filled, rest * np.where(filled, relevance, 0.0), _PADDING)
    lists = np.arange(len(relevance))
    selected, violating = np.empty((len(relevance), k), np.int64), np.zeros((len(relevance), k), bool)
    for position in range(k):
        score = base.copy()
        for weight, term in terms:
            score += weight * term.gains()
        exceeded = sum((each.exceeded() for each in constraints), start=np.zeros(relevance.shape, np.int64))
        score -= _EXCLUDED * exceeded
        best = score.argmax(axis=1)
        selected[:, position], violating[:, position] = best, exceeded[lists, best] > 0
        base[lists, best] = -np.inf
        for _, term in terms:
            term.select(best)
        for constraint in constraints:
            constraint.select(best)
    return selected, violating
