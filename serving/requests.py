"""Requests to a recommender, and its answers. No NumPy here."""

from dataclasses import dataclass, field

from serving.conditions import Condition


@dataclass(frozen=True)
class Request:
    """A request for recommendations.

    Args:
      user_id: the user, who may be unknown.
      k: the number of items.
      offset: the number of better items that are left out.
      time: the time of the query, in seconds since 1970-01-01 UTC.
      exclude: ids of items that are not returned.
      only: ids of the only items that are returned, which are then ranked without retrieval; None for all.
      filters: conditions that the items fulfil.
      history: the ids of the user's latest items, oldest first, in place of those that are known; None for these.
      seen: whether items that the user had an event with may be returned, whatever the release says.
    """

    user_id: str
    k: int
    time: int
    offset: int = 0
    exclude: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    filters: tuple[Condition, ...] = ()
    history: tuple[str, ...] | None = None
    seen: bool = False


@dataclass(frozen=True)
class Listed:
    """An item of an answer.

    Args:
      item: the id.
      title: the title; None if the catalogue has none.
      score: the ranker's score.
      probability: the ranker's probability that the item is relevant.
      retrieval_rank: the position in the retriever's order, from 1.
      retrieval_score: the retriever's score.
    """

    item: str
    title: str | None
    score: float
    probability: float
    retrieval_rank: int
    retrieval_score: float


@dataclass(frozen=True)
class Recommendations:
    """The answer to a request.

    Args:
      known: whether the user is in the release or in the store.
      items: the items, best first.
    """

    known: bool
    items: tuple[Listed, ...] = field(default=())
