"""The bodies of requests and answers."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from serving.conditions import Condition
from serving.requests import Degraded
from serving.rules import ListCap, Mark, Pin, Promotion

Id = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
Ids = Annotated[list[Id], Field(max_length=10_000)]
K = Annotated[int, Field(ge=1, le=10_000, description="The number of items.")]
Seconds = Annotated[int, Field(ge=0, le=2**40, description="Seconds since 1970-01-01 UTC.")]
Budget = Annotated[
    float,
    Field(
        gt=0,
        le=60_000,
        description="How long the answer may take, in milliseconds; at most, and by default, the server's.",
    ),
]
Value = str | int | float | bool | None | list[str] | list[float]
Features = Annotated[dict[Annotated[str, Field(max_length=256)], Value], Field(max_length=1000)]


class Body(BaseModel):
    """A body of a request: no unknown keys, and no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RecommendBody(Body):
    """A request for recommendations."""

    user: Id = Field(description="The id of the user, who may be new.")
    k: K = 10
    offset: Annotated[int, Field(ge=0, le=10_000)] = Field(0, description="The number of better items to leave out.")
    exclude: Ids = Field([], description="Ids of items that are not returned.")
    filters: Annotated[list[Condition], Field(max_length=32)] = Field(
        [], description="Conditions on the attributes of items, all of which the items fulfil."
    )
    history: Ids | None = Field(
        None, description="Ids of the user's latest items, oldest first, in place of the known ones."
    )
    include_seen: bool = Field(False, description="Whether items that the user had an event with may be returned.")
    budget_ms: Budget | None = None
    pinned: Annotated[list[Pin], Field(max_length=100)] = Field(
        [], description="Items that stand at positions of the list, whatever the models and the filters say."
    )
    promotions: Annotated[list[Promotion], Field(max_length=8)] = Field(
        [], description="Shares of the list for items that fulfil conditions; they sum to at most 1."
    )
    caps: Annotated[list[ListCap], Field(max_length=8)] = Field(
        [], description="Maximum numbers of items of the list with the same value of a column."
    )

    @field_validator("pinned")
    @classmethod
    def _pinned_once(cls, pinned: list[Pin]) -> list[Pin]:
        """Check that items and positions differ. Raises: ValueError."""
        for what, values in (
            ("item", [each.item for each in pinned]),
            ("position", [each.position for each in pinned if each.position is not None]),
        ):
            twice = next((each for index, each in enumerate(values) if each in values[:index]), None)
            if twice is not None:
                raise ValueError(f"should name each {what} once; found {twice!r} twice")
        return pinned

    @field_validator("promotions")
    @classmethod
    def _shares_fit(cls, promotions: list[Promotion]) -> list[Promotion]:
        """Check that the shares sum to at most 1. Raises: ValueError."""
        total = sum(each.share for each in promotions)
        if total > 1 + 1e-9:
            raise ValueError(f"should have shares that sum to at most 1; found {total:g}")
        return promotions


class RankBody(Body):
    """A request to rank given items for a user."""

    user: Id = Field(description="The id of the user, who may be new.")
    items: Annotated[list[Id], Field(min_length=1, max_length=1000)] = Field(description="The ids of the items.")
    history: Ids | None = Field(None, description="As in `recommend`.")
    budget_ms: Budget | None = None


class BatchBody(Body):
    """Several requests for recommendations."""

    requests: Annotated[list[RecommendBody], Field(min_length=1, max_length=100)]


class SimilarBody(Body):
    """A request for items similar to one item."""

    item: Id = Field(description="The id of the item.")
    k: K = 10
    filters: Annotated[list[Condition], Field(max_length=32)] = []


class NearItem(BaseModel):
    """An item of the history that is like an item of the list."""

    model_config = ConfigDict(from_attributes=True)

    item: str
    title: str | None
    similarity: float = Field(description="The cosine of the embeddings; without embeddings, of the features.")


class ExplainedItem(BaseModel):
    """A candidate, with the results of both steps."""

    item: str
    title: str | None
    retrieval_rank: int = Field(description="The position in the retriever's order, from 1.")
    retrieval_score: float
    signals: dict[str, float | None] = Field(description="The score and the rank of each member of a fusion.")
    ranker_rank: int = Field(description="The position in the ranker's order, from 1.")
    score: float
    probability: float
    position: int | None = Field(description="The position in the list, from 1; null for a candidate beyond it.")
    rule: Mark | None = Field(None, description="The rule of the request that an item of the list fulfils.")
    nearest: list[NearItem] = Field(description="The items of the history that are most like an item of the list.")
    without: dict[str, int | None] = Field(
        description="Rule of the re-ranking → the position in the list without this rule; null if it is beyond it."
    )


class HistoryItem(BaseModel):
    """An item of a history."""

    item: str
    title: str | None
    timestamp: int | None


class ExplainAnswer(BaseModel):
    """What a list is made of."""

    request_id: str
    release: str
    user: str
    known: bool
    features: dict[str, Any]
    history: list[HistoryItem] = Field(description="The history of the user, oldest first.")
    candidates: list[ExplainedItem] = Field(description="The candidates in the retriever's order.")
    seen: int = Field(description="The number of items left out because the user has seen them.")
    hidden: int = Field(description="The number of items left out because they are hidden, expired or excluded.")
    own: int = Field(0, description="The number of items left out because they belong to the user.")
    filtered: int = Field(description="The number of items of the catalogue that do not fulfil the filters.")


class EventBody(Body):
    """An event of a user and an item."""

    id: Id | None = Field(
        None, description="The id of the event; the same event is counted once. By default the server makes one."
    )
    user: Id
    item: Id
    timestamp: Seconds | None = Field(None, description="Seconds since 1970-01-01 UTC; by default now.")
    rating: float | None = None


class EventsBody(Body):
    """Events."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=1000)]


class UserBody(Body):
    """What is known of a user."""

    features: Features


class ItemBody(Body):
    """What is known of an item."""

    hidden: bool = Field(False, description="Whether the item is never recommended.")
    expires: Seconds | None = Field(None, description="When the item ceases to be recommended; null for never.")
    features: Features | None = Field(
        None,
        description="The values of the item by column of the items table. An item that the release lacks can then be "
        "recommended. For one of the release, filters, rules and titles read them in place of those of the release.",
    )


class ItemAnswer(BaseModel):
    """An item of an answer."""

    item: str
    title: str | None = None
    score: float


class RankedAnswer(ItemAnswer):
    """An item with the results of both steps."""

    probability: float | None = Field(
        description="The ranker's probability that the item is relevant; null without the ranker."
    )
    retrieval_rank: int | None = Field(
        description="The position in the retriever's order, from 1; null without the retriever."
    )
    retrieval_score: float | None
    rule: Mark | None = Field(
        None,
        description="The rule of the request that the item fulfils. pinned: it stands at the position of a pin. "
        "promoted: it fulfils the filters of a promotion.",
    )


class RecommendAnswer(BaseModel):
    """The answer to a request for recommendations."""

    request_id: str
    release: str = Field(description="The version of the release.")
    arm: str | None = Field(None, description="The user's arm of the experiment; null without one.")
    user: str
    known: bool = Field(description="Whether the user is in the release or in the store.")
    degraded: Degraded | None = Field(
        None,
        description="Why the answer is worse than usual; null for a full answer. no_store: the store did not answer, "
        "so the user is known from the release alone. retrieval_order: there was no time for the ranker: the list is "
        "in the retriever's order. popular: there was no time for the retriever: the items with the most events.",
    )
    items: list[RankedAnswer]


class RankAnswer(RecommendAnswer):
    """The answer to a request to rank items."""

    unknown: list[str] = Field(description="The given items that are not in the catalogue.")


class BatchAnswer(BaseModel):
    """The answers to several requests, in their order."""

    answers: list[RecommendAnswer]


class SimilarAnswer(BaseModel):
    """Items similar to one item."""

    request_id: str
    release: str
    item: str
    items: list[ItemAnswer]


class EventsAnswer(BaseModel):
    """The events that were accepted."""

    accepted: int = Field(description="The number of events that are new.")
    ids: list[str] = Field(description="The ids of all events of the request.")


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = Field([], description="The field, and what is wrong with it.")
