"""The candidates of requests with given items, which are not retrieved. NumPy only."""

from collections.abc import Sequence

import numpy as np

from core.queries import Candidates, Queries
from serving.catalogue import NO_ITEM
from serving.engine import TwoStep
from serving.requests import Request


def given(
    engine: TwoStep, query: Queries, requests: Sequence[Request], masks: Sequence[np.ndarray | None]
) -> Candidates:
    """Return the given items of each request, those of its mask, in the retriever's order."""
    width = max(1, *(len(request.only or ()) for request in requests))
    rows = np.full((len(requests), width), NO_ITEM, np.int32)
    for index, request in enumerate(requests):
        own = engine.catalogue.rows(dict.fromkeys(request.only or ()))
        own = own[own != NO_ITEM]
        rows[index, : len(own)] = own
    scored = engine.retriever.score(query, rows, masks)
    order = np.argsort(-scored.scores, axis=1, kind="stable")
    by_score = Candidates(
        np.take_along_axis(rows, order, axis=1),
        np.take_along_axis(scored.scores, order, axis=1),
        {name: np.take_along_axis(values, order, axis=1) for name, values in scored.signals.items()},
    )
    return _first(by_score, by_score.scores > -np.inf, width)


def _first(candidates: Candidates, kept: np.ndarray, width: int) -> Candidates:
    """Return the first `width` candidates [Q, C] of each query that are kept [Q, C], in their order."""
    if kept.all() and kept.shape[1] <= width:
        return candidates
    width = min(width, max(1, int(kept.sum(axis=1).max(initial=0))))
    order = np.argsort(~kept, axis=1, kind="stable")[:, :width]
    filled = np.take_along_axis(kept, order, axis=1)

    def taken(values: np.ndarray, missing: float) -> np.ndarray:
        return np.where(filled, np.take_along_axis(values, order, axis=1), values.dtype.type(missing))

    signals = {name: taken(values, np.nan) for name, values in candidates.signals.items()}
    return Candidates(taken(candidates.rows, NO_ITEM), taken(candidates.scores, -np.inf), signals)
