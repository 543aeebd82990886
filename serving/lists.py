"""The items of answers, with titles and the results of both steps. NumPy only."""

from collections.abc import Sequence

import numpy as np

from core.queries import Candidates
from serving.engine import Ranked
from serving.requests import Listed, Request


class Lists:
    """The lists of items of a catalogue.

    Args:
      ids: [N] the ids of the items.
      titles: their titles; None without titles.
    """

    def __init__(self, ids: np.ndarray, titles: Sequence[str | None] | None):
        self._ids, self._titles = ids, titles

    def ranked(
        self, ranked: Ranked, query: int, rows: np.ndarray, scores: np.ndarray, request: Request
    ) -> tuple[Listed, ...]:
        """Return the items of the list of a query, from the request's offset on."""
        place = {row: rank for rank, row in enumerate(ranked.candidates.rows[query].tolist()) if row >= 0}
        result = []
        part = slice(request.offset, request.offset + request.k)
        for row, score in zip(rows[part].tolist(), scores[part].tolist(), strict=True):
            if row < 0:
                break
            rank = place[row]
            result.append(
                self._listed(
                    row,
                    score,
                    float(ranked.probabilities[query, rank]),
                    rank + 1,
                    float(ranked.candidates.scores[query, rank]),
                )
            )
        return tuple(result)

    def retrieved(self, candidates: Candidates, query: int, request: Request) -> tuple[Listed, ...]:
        """Return the items of a query in the retriever's order, from the request's offset on."""
        part = slice(request.offset, request.offset + request.k)
        pairs = zip(candidates.rows[query, part].tolist(), candidates.scores[query, part].tolist(), strict=True)
        ranks = enumerate(pairs, request.offset + 1)
        return tuple(self._listed(row, score, None, rank, score) for rank, (row, score) in ranks if row >= 0)

    def popular(self, rows: Sequence[int], events: Sequence[int], offset: int) -> tuple[Listed, ...]:
        """Return popular items with their numbers of events, from an offset on."""
        return tuple(self._listed(row, float(each)) for row, each in zip(rows[offset:], events[offset:], strict=True))

    def _listed(self, row: int, score: float, *results: float | None) -> Listed:
        return Listed(self._ids[row], self._titles[row] if self._titles else None, score, *results)  # type: ignore[arg-type]
