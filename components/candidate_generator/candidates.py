"""Whose queries choose the ranker, and how many relevant items are among the candidates. NumPy and Arrow only."""

import numpy as np
import pyarrow as pa

from core.queries import Queries


def held_out(user_ids: pa.ChunkedArray, share: float, seed: int) -> np.ndarray:
    """[Q] whether a query is held out to choose the ranker by: all queries of a random share of the users."""
    users = user_ids.combine_chunks().dictionary_encode()
    chosen = np.random.default_rng(seed).random(len(users.dictionary)) < share
    return chosen[users.indices.to_numpy()]


def report(labels: np.ndarray, queries: Queries) -> dict[str, float]:
    """How many queries have a right answer among their candidates, and the share of right answers that do."""
    right = labels.sum(axis=1)
    answers = np.diff(queries.relevant_offsets)
    return {
        "queries": len(queries),
        "with_a_positive": int((right > 0).sum()),
        "positives": int(right.sum()),
        "positives_missed": int(answers.sum() - right.sum()),
    }
