"""What an answer was made of: the user, the candidates with the results of both steps, and the list. NumPy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.engine import Ranked
from serving.lists import Marks, unmarked
from serving.rules import Mark
from serving.users import User


@dataclass(frozen=True)
class Explained:
    """A candidate.

    Args:
      item, title: the id and the title of the item.
      retrieval_rank: the position in the retriever's order, from 1.
      retrieval_score: the retriever's score.
      signals: the retriever's further signals, such as the score and the rank of each member of a fusion.
      ranker_rank: the position in the ranker's order, from 1.
      score, probability: the ranker's score and probability of relevance.
      position: the position in the list, from 1; None for a candidate that is not listed.
      rule: the rule of the request that an item of the list fulfils; None for none.
    """

    item: str
    title: str | None
    retrieval_rank: int
    retrieval_score: float
    signals: Mapping[str, float | None]
    ranker_rank: int
    score: float
    probability: float
    position: int | None
    rule: Mark | None


@dataclass(frozen=True)
class Explanation:
    """What an answer was made of.

    Args:
      known: whether the user is in the release or in the store.
      user: the user, with the history that was used.
      candidates: the candidates in the retriever's order.
      seen: the number of items that were left out because the user has seen them.
      hidden: the number of items that were left out because they are hidden, expired or excluded.
      own: the number of items that were left out because they belong to the user.
      filtered: the number of items of the catalogue that do not fulfil the conditions.
    """

    known: bool
    user: User
    candidates: tuple[Explained, ...]
    seen: int
    hidden: int
    own: int
    filtered: int


def explained(
    ranked: Ranked, listed: np.ndarray, ids: np.ndarray, titles: Sequence[str | None] | None, marks: Marks = unmarked
) -> tuple[Explained, ...]:
    """Return the candidates of the first query in the retriever's order.

    Args:
      ranked: the candidates with the ranker's scores.
      listed: the rows of the list, best first, -1 for padding.
      ids: [N] the ids of the catalogue's items.
      titles: their titles; None if there are none.
      marks: returns the rule that an item of the list fulfils.
    """
    candidates = ranked.candidates
    rows, scores = candidates.rows[0], ranked.scores[0]
    ranks = np.empty(len(rows), int)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(rows) + 1)
    positions = {row: place for place, row in enumerate(listed.tolist(), 1) if row >= 0}
    return tuple(
        Explained(
            item=ids[row],
            title=titles[row] if titles else None,
            retrieval_rank=place + 1,
            retrieval_score=float(candidates.scores[0, place]),
            signals={name: _known(values[0, place]) for name, values in candidates.signals.items()},
            ranker_rank=int(ranks[place]),
            score=float(scores[place]),
            probability=float(ranked.probabilities[0, place]),
            position=positions.get(row),
            rule=marks(row) if row in positions else None,
        )
        for place, row in enumerate(rows.tolist())
        if row >= 0
    )


def _known(value: Any) -> float | None:
    """Return a signal; None for an unknown one."""
    return float(value) if np.isfinite(value) else None
