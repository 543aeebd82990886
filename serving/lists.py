"""The items of answers, with titles and the results of both steps. NumPy only."""

from collections.abc import Callable, Sequence

import numpy as np

from core.queries import Candidates
from serving.engine import Ranked
from serving.requests import Listed, Request
from serving.rules import Mark

Marks = Callable[[int], Mark | None]


def unmarked(row: int) -> None:
    """Return that no rule holds for an item."""


class Lists:
    """The lists of items of a catalogue.

    Args:
      ids: [N] the ids of the items.
      titles: their titles; None without titles.
    """

    def __init__(self, ids: np.ndarray, titles: Sequence[str | None] | None):
        self._ids, self._titles = ids, titles

    def ranked(
        self,
        ranked: Ranked,
        query: int,
        rows: np.ndarray,
        scores: np.ndarray,
        request: Request,
        marks: Marks = unmarked,
    ) -> tuple[Listed, ...]:
        """Return the items of the list of a query, from the request's offset on, with the rules that they fulfil."""
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
                    marks(row),
                )
            )
        return tuple(result)

    def retrieved(
        self, candidates: Candidates, query: int, rows: np.ndarray, request: Request, marks: Marks = unmarked
    ) -> tuple[Listed, ...]:
        """Return the items of the list of a query without the ranker, from the request's offset on."""
        place = {row: rank for rank, row in enumerate(candidates.rows[query].tolist()) if row >= 0}
        scores = candidates.scores[query]
        part = [row for row in rows[request.offset : request.offset + request.k].tolist() if row >= 0]
        return tuple(
            self._listed(row, float(scores[place[row]]), None, place[row] + 1, float(scores[place[row]]), marks(row))
            for row in part
        )

    def popular(
        self, rows: Sequence[int], events: Sequence[int], offset: int, marks: Marks = unmarked
    ) -> tuple[Listed, ...]:
        """Return popular items with their numbers of events, from an offset on."""
        pairs = zip(rows[offset:], events[offset:], strict=True)
        return tuple(self._listed(row, float(each), None, None, None, marks(row)) for row, each in pairs)

    def _listed(
        self,
        row: int,
        score: float,
        probability: float | None,
        rank: int | None,
        retrieval_score: float | None,
        mark: Mark | None,
    ) -> Listed:
        title = self._titles[row] if self._titles else None
        return Listed(self._ids[row], title, score, probability, rank, retrieval_score, mark)
