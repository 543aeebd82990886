"""What an answer was made of: the user, the candidates with the results of both steps, and the list. NumPy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.queries import Queries
from serving import reasons
from serving.engine import Ranked, TwoStep
from serving.lists import Marks, unmarked
from serving.rules import Mark
from serving.users import User


@dataclass(frozen=True)
class Near:
    """An item of the history that is like an item of the list.

    Args:
      item, title: the id and the title of the item.
      similarity: see `serving.reasons.nearest`.
    """

    item: str
    title: str | None
    similarity: float


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
      nearest: for a listed item, the items of the history that are most like it, nearest first.
      without: for each rule of the re-ranking, the position in the list without the rule; None if it is not there.
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
    nearest: tuple[Near, ...] = ()
    without: Mapping[str, int | None] = field(default_factory=dict)


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
    engine: TwoStep,
    query: Queries,
    ranked: Ranked,
    listed: np.ndarray,
    history: Sequence[str],
    titles: Sequence[str | None] | None,
    marks: Marks = unmarked,
) -> tuple[Explained, ...]:
    """Return the candidates of a query in the retriever's order.

    Args:
      engine: the engine.
      query: one query.
      ranked: its candidates with the ranker's scores.
      listed: the rows of the list, best first, -1 for padding.
      history: the ids of the user's history.
      titles: the titles of the catalogue's items; None if there are none.
      marks: returns the rule that an item of the list fulfils.
    """
    candidates, ids = ranked.candidates, engine.catalogue.ids
    rows, scores = candidates.rows[0], ranked.scores[0]
    ranks = np.empty(len(rows), int)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(rows) + 1)
    positions = reasons.positions(listed)
    shown = np.array(list(positions), np.int64)
    near = dict(zip(positions, reasons.nearest(engine, shown, engine.catalogue.rows(history)), strict=True))
    without = reasons.without_rules(engine, query, ranked, len(listed))
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
            nearest=tuple(Near(ids[each], titles[each] if titles else None, like) for each, like in near.get(row, ())),
            without={name: own.get(row) for name, own in without.items()},
        )
        for place, row in enumerate(rows.tolist())
        if row >= 0
    )


def _known(value: Any) -> float | None:
    """Return a signal; None for an unknown one."""
    return float(value) if np.isfinite(value) else None
