"""The counts of relevant candidates. NumPy and Arrow only."""

import numpy as np

from core.queries import Queries


def report(labels: np.ndarray, queries: Queries) -> dict[str, float]:
    """Return the number of queries, of queries with a relevant candidate, of relevant candidates and of missed items.

    Args:
      labels: [Q, C] bool, whether each candidate is relevant.
      queries: Q queries.
    """
    relevant_candidates = labels.sum(axis=1)
    relevant_items = np.diff(queries.relevant_offsets)
    return {
        "queries": len(queries),
        "with_a_positive": int((relevant_candidates > 0).sum()),
        "positives": int(relevant_candidates.sum()),
        "positives_missed": int(relevant_items.sum() - relevant_candidates.sum()),
    }
