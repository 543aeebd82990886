"""The queries held out to select the ranker, and the counts of relevant candidates. NumPy and Arrow only."""

import numpy as np
import pyarrow as pa

from core.queries import Queries


def held_out(user_ids: pa.ChunkedArray, share: float, seed: int) -> np.ndarray:
    """Return [Q] whether each query is held out to select the ranker: all queries of a random share of the users are.

    Args:
      user_ids: [Q] the user of each query.
      share: the share of the users that is drawn.
      seed: the seed of the draw.
    """
    users = user_ids.combine_chunks().dictionary_encode()
    chosen = np.random.default_rng(seed).random(len(users.dictionary)) < share
    return chosen[users.indices.to_numpy()]


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
