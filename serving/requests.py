"""Requests to a recommender, and its answers. No NumPy here."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from serving.conditions import Condition
from serving.rules import ListCap, Mark, Pin, Promotion

if TYPE_CHECKING:
    from serving.users import User

# Why an answer is worse than usual, and how it was made; the later of two counts.
# no_store: the store did not answer, so the user is known from the release alone.
# retrieval_order: the time did not suffice for the ranker, so the list is in the retriever's order, without re-ranking.
# popular: the time did not suffice for the retriever, so the list has the items with the most events.
Degraded = Literal["no_store", "retrieval_order", "popular"]


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
      until: when the answer should be there, in seconds of `time.monotonic`.
      pinned, promotions, caps: the rules of the list, without `only`.
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
    until: float = math.inf
    pinned: tuple[Pin, ...] = ()
    promotions: tuple[Promotion, ...] = ()
    caps: tuple[ListCap, ...] = ()


@dataclass(frozen=True)
class Listed:
    """An item of an answer.

    Args:
      item: the id.
      title: the title; None if the catalogue has none.
      score: the ranker's score; the retriever's in the retriever's order, and the number of events of a popular item.
      probability: the ranker's probability that the item is relevant; None without the ranker.
      retrieval_rank: the position in the retriever's order, from 1; None without the retriever.
      retrieval_score: the retriever's score; None without the retriever.
      rule: the rule of the request that the item fulfils; None for none.
    """

    item: str
    title: str | None
    score: float
    probability: float | None = None
    retrieval_rank: int | None = None
    retrieval_score: float | None = None
    rule: Mark | None = None


@dataclass(frozen=True)
class Recommendations:
    """The answer to a request.

    Args:
      known: whether the user is in the release or in the store.
      items: the items, best first.
      degraded: why the answer is worse than usual; None for a full answer.
      user: the user that both steps read, without what the request said; None for none.
      state: the state of the store's items that the answer respects.
    """

    known: bool
    items: tuple[Listed, ...] = field(default=())
    degraded: Degraded | None = None
    user: "User | None" = None
    state: int = 0
