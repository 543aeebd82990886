"""Reasons for the items of a list: the nearest items of the history, and what each rule did. NumPy only."""

from collections.abc import Sequence

import numpy as np

from core.queries import Queries
from serving.catalogue import NO_ITEM
from serving.engine import Ranked, TwoStep

NEAREST = 2  # the number of items of the history that are named for an item of a list


def nearest(engine: TwoStep, rows: np.ndarray, history: np.ndarray) -> list[list[tuple[int, float]]]:
    """Return for each item the nearest items of a history with their similarity, at most NEAREST, nearest first.

    The similarity is the mean of the cosines of the embeddings of the retriever's parts; without embeddings, the cosine
    of the items' features. Its time depends on the length of the history, not on the catalogue.

    Args:
      engine: the engine.
      rows: [C] catalogue rows.
      history: [H] the catalogue rows of the history; NO_ITEM for an unknown item.
    """
    known = np.unique(history[history != NO_ITEM])
    vectors = [_units(each, len(rows)) for each in engine.retriever.vectors(np.concatenate([rows, known])).values()]
    if vectors:
        similarity = np.mean([own @ other.T for own, other in vectors], axis=0)
    else:
        features = engine.reranker.items.unit_vectors
        similarity = (features[rows] @ features[known].T).toarray()
    similarity = np.where(rows[:, None] == known[None], -np.inf, similarity)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :NEAREST]
    return [
        [(int(known[each]), float(own[each])) for each in places if own[each] > 0]
        for places, own in zip(order, similarity, strict=True)
    ]


def without_rules(engine: TwoStep, query: Queries, ranked: Ranked, k: int) -> dict[str, dict[int, int]]:
    """Return for each configured rule the list without it, as row → position from 1.

    Args:
      engine: the engine.
      query: one query.
      ranked: its candidates.
      k: the length of the list.
    """
    settings, found = engine.reranker.settings, {}
    for name in dict.fromkeys(name for name, _ in settings.rules()):
        nothing = type(settings).model_fields[name].get_default(call_default_factory=True)
        other = engine.reranker.with_settings(settings.model_copy(update={name: nothing}))
        rows, _ = other.rerank(query, ranked.candidates.rows, ranked.scores, k)
        found[name] = positions(rows[0])
    return found


def positions(rows: Sequence[int] | np.ndarray) -> dict[int, int]:
    """Return row → position in a list, from 1, of a list with padding."""
    return {int(row): place for place, row in enumerate(rows, 1) if row != NO_ITEM}


def _units(embeddings: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings scaled to length 1: the first ones, and the others."""
    vectors = embeddings.astype(np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors[:first], vectors[first:]
