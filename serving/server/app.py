"""The routes of the server."""

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse

from core.errors import UsageError
from serving import requests
from serving.batcher import Batcher, BusyError
from serving.recommender import Recommender
from serving.server import activity, answers, beside, lineage, page, problems, records, reference
from serving.server.answer_log import AnswerLog
from serving.server.arms import Answered, Arms
from serving.server.beside import Beside
from serving.server.current import Current
from serving.server.guard import Guard
from serving.server.messages import (
    BatchAnswer,
    BatchBody,
    EventsAnswer,
    EventsBody,
    ExplainAnswer,
    ExplainedItem,
    HistoryItem,
    RankAnswer,
    RankBody,
    RankedAnswer,
    RecommendAnswer,
    RecommendBody,
    SimilarAnswer,
    SimilarBody,
)
from serving.server.metrics import Metrics
from serving.server.records import Few
from serving.server.retention import Retention
from serving.server.settings import ServerSettings
from serving.stores.store import Answer, Event, Store, StoreError

log = logging.getLogger("twostep.serve")
AHEAD_S = 60  # how far an event may be in the future, for clocks that differ


class Server:
    """What the routes share: the release, the store, and the threads that answer queries and write to the store.

    Args:
      current: the release that is served.
      store: the store.
      settings: the settings.
      arms: the recommenders of an experiment, that of `current` among them; None without an experiment.
      deletes: whether old answers and their inputs are deleted; of several workers one does it.
    """

    def __init__(
        self,
        current: Current,
        store: Store,
        settings: ServerSettings,
        arms: Arms | None = None,
        deletes: bool = True,
    ):
        self.arms, self.beside = arms or Arms(current), Beside(current)
        self.current, self.store, self.settings = current, store, settings
        self.metrics = Metrics(self.arms.labels)
        self.queries = Batcher[requests.Request, Answered](
            self._recommend, settings.batch, settings.wait_ms / 1000, settings.max_waiting
        )
        self.popular = Batcher[requests.Request, Answered](self._without_models, 64)  # for queries without time
        self.events = Batcher[Sequence[Event], list[bool]](self._add_events, 256)
        self.answers = AnswerLog(store, self.metrics, settings.keep_replay_hours > 0)
        kept = settings.keep_answers_days, settings.keep_replay_hours
        self.retention = Retention(store, *kept) if deletes else None
        self.tell_others: Callable[[], None] = lambda: None  # lets other workers look at changed items

    def refresh_items(self) -> None:
        """Read what was changed of items, so that the next answer respects it."""
        self.arms.refresh()
        self.tell_others()

    def look_at_items(self) -> None:
        """Read what another worker changed of items."""
        try:
            self.arms.refresh()
        except StoreError as error:
            log.warning("changed items could not be read: %s", error)

    def close(self) -> None:
        """Answer what waits, and end all threads."""
        for each in (self.queries, self.popular, self.events, self.answers):
            each.close()
        if self.retention is not None:
            self.retention.close()
        self.arms.close()
        self.beside.close()
        self.store.close()

    def until(self, budget_ms: float | None) -> float:
        """Return when an answer to a request with a budget should be there, in seconds of `time.monotonic`."""
        most = self.settings.budget_ms
        return time.monotonic() + (most if budget_ms is None else min(most, budget_ms)) / 1000

    async def answer(self, asked: requests.Request) -> Answered:
        """Answer a query in the next batch; without the models if too many wait, or the answer is not there in time."""
        try:
            async with asyncio.timeout(asked.until - time.monotonic()):
                answered = await self.queries.call(asked)
        except (TimeoutError, BusyError):
            answered = await self.popular.call(asked)
        if answered[1].degraded is not None:
            self.metrics.degraded(answered[1].degraded)
        return answered

    def _recommend(self, requests: Sequence[requests.Request]) -> Iterator[tuple[int, Answered | Exception]]:
        began = time.perf_counter()
        yield from self.arms.answers(requests)
        self.metrics.batch(len(requests), time.perf_counter() - began)

    def _without_models(self, requests: Sequence[requests.Request]) -> Sequence[Answered | Exception]:
        return [self.arms.without_models(each) for each in requests]

    def _add_events(self, batches: Sequence[Sequence[Event]]) -> Sequence[list[bool]]:
        new = iter(self.store.add_events([event for batch in batches for event in batch]))
        return [[next(new) for _ in batch] for batch in batches]


def application(server: Server) -> FastAPI:
    """Return the ASGI application of a server."""

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        yield
        await run_in_threadpool(server.close)

    app = FastAPI(
        title="twostep", description="Recommendations in two steps, retrieval and ranking.", lifespan=lifespan,
        docs_url=None, redoc_url=None,  # their pages load scripts from another host; see `reference`
        responses=problems.RESPONSES,
    )  # fmt: skip
    problems.add_handlers(app)
    app.add_middleware(Guard, settings=server.settings, metrics=server.metrics)
    _add_answers(app, server)
    _add_events(app, server)
    records.add(app, server)
    answers.add(app, server)
    beside.add(app, server, _request)
    lineage.add(app, server)
    activity.add(app, server.metrics.activity)
    _add_state(app, server)
    page.add(app)
    reference.add(app)
    return app


def _add_answers(app: FastAPI, server: Server) -> None:
    """Add the routes that recommend, rank and compare."""

    @app.post("/v1/recommend")
    async def recommend(body: RecommendBody, request: Request) -> RecommendAnswer:
        """Return the best items for a user."""
        return await _recommended(server, body, request.state.request_id)

    @app.post("/v1/recommend/batch")
    async def recommend_batch(body: BatchBody, request: Request) -> BatchAnswer:
        """Return the best items for several users."""
        waiting = [
            _recommended(server, each, f"{request.state.request_id}-{number}")
            for number, each in enumerate(body.requests)
        ]
        return BatchAnswer(answers=await asyncio.gather(*waiting))

    @app.post("/v1/rank")
    async def rank(body: RankBody, request: Request) -> RankAnswer:
        """Rank given items for a user, those that the user has seen too; hidden and expired items are left out."""
        asked = requests.Request(
            body.user,
            len(body.items),
            int(time.time()),
            only=tuple(body.items),
            history=None if body.history is None else tuple(body.history),
            seen=True,
            until=server.until(body.budget_ms),
        )
        answer = await _answered(server, asked, request.state.request_id)
        with server.arms.using(body.user) as using:
            unknown = [item for item in dict.fromkeys(body.items) if using.engine.catalogue.row(item) < 0]
        return RankAnswer(**answer.model_dump(), unknown=unknown)

    @app.post("/v1/similar", responses=problems.NOT_FOUND)
    def similar(body: SimilarBody, request: Request) -> SimilarAnswer:
        """Return the items most similar to an item."""
        with server.current.using() as using:
            if using.engine.catalogue.row(body.item) < 0:
                raise HTTPException(404, f"The release {using.version} has no item {body.item!r}.")
            found = using.similar(body.item, min(body.k, len(using.engine.catalogue)), body.filters)
            version = using.version
        items = [{"item": item, "title": title, "score": score} for item, title, score in found]
        return SimilarAnswer(request_id=request.state.request_id, release=version, item=body.item, items=items)

    @app.post("/v1/explain")
    def explain(body: RecommendBody, request: Request) -> ExplainAnswer:
        """Return what the list for a user is made of: history, candidates, and the results of both steps."""
        with server.arms.using(body.user) as using:
            found = using.explain(_request(using, body))
            titles = using.items.titles_of(found.user.history)
            version = using.version
        times: Sequence[int | None] = found.user.history_time or [None] * len(titles)
        history = [
            HistoryItem(item=item, title=title, timestamp=when)
            for item, title, when in zip(found.user.history, titles, times, strict=True)
        ]
        candidates = [ExplainedItem(**vars(each)) for each in found.candidates]
        return ExplainAnswer(
            request_id=request.state.request_id, release=version, user=body.user, known=found.known,
            features=dict(found.user.features), history=history, candidates=candidates,
            seen=found.seen, hidden=found.hidden, own=found.own, filtered=found.filtered,
        )  # fmt: skip

    @app.get("/v1/popular")
    def popular(k: Few = 10) -> list[dict[str, object]]:
        """Return the items with the most events before the release."""
        with server.current.using() as using:
            return using.items.most_popular(k, int(time.time()))


async def _recommended(server: Server, body: RecommendBody, request_id: str) -> RecommendAnswer:
    """Return the answer to a request for recommendations."""
    with server.arms.using(body.user) as using:
        asked = _request(using, body, server.until(body.budget_ms))
    return await _answered(server, asked, request_id)


def _request(using: Recommender, body: RecommendBody, until: float = math.inf) -> requests.Request:
    """Return the request of a body. Raises: UsageError if it asks for more than the candidates of the release."""
    most = using.engine.settings.candidates
    if body.offset + body.k > most:
        raise UsageError(f"offset + k should be at most {most:,}, the number of candidates of the release")
    history = None if body.history is None else tuple(body.history)
    return requests.Request(
        body.user, body.k, int(time.time()), offset=body.offset, exclude=tuple(body.exclude),
        filters=tuple(body.filters), history=history, seen=body.include_seen, until=until, pinned=tuple(body.pinned),
        promotions=tuple(body.promotions), caps=tuple(body.caps),
    )  # fmt: skip


async def _answered(server: Server, asked: requests.Request, request_id: str) -> RecommendAnswer:
    """Answer a query in the next batch, and log the answer."""
    version, found = await server.answer(asked)
    items = [RankedAnswer(**vars(each)) for each in found.items]
    shown, arm = tuple(each.item for each in items), server.arms.arm(asked.user_id)
    facts = server.arms.facts(asked.user_id)
    detail = {"k": asked.k, "offset": asked.offset, "degraded": found.degraded} | facts
    logged = Answer(request_id, asked.user_id, asked.time, version, shown, detail)
    server.answers.add(logged, asked, found, arm)
    server.metrics.activity.answered(arm.label if arm else None, found.degraded)
    return RecommendAnswer(
        request_id=request_id,
        release=version,
        arm=arm.label if arm else None,
        user=asked.user_id,
        known=found.known,
        degraded=found.degraded,
        items=items,
    )


def _add_events(app: FastAPI, server: Server) -> None:
    """Add the route that takes events."""

    @app.post("/v1/events", status_code=202)
    async def events(body: EventsBody) -> EventsAnswer:
        """Add events, which are in the histories of their users from the next answer on."""
        now = int(time.time())
        given = [
            Event(
                each.id or uuid.uuid4().hex,
                each.user,
                each.item,
                now if each.timestamp is None else each.timestamp,
                each.rating,
            )
            for each in body.events
        ]
        for number, event in enumerate(given):
            if event.timestamp > now + AHEAD_S:
                raise UsageError(
                    f"events.{number}.timestamp: should be at most now, {now}, in seconds; found {event.timestamp}"
                )
        new = await server.events.call(given)
        server.metrics.events(sum(new))
        return EventsAnswer(accepted=sum(new), ids=[event.id for event in given])


def _add_state(app: FastAPI, server: Server) -> None:
    """Add the routes that describe the server."""

    @app.get("/v1/release")
    def release() -> dict[str, object]:
        """Return the release that is served."""
        with server.current.using() as using:
            facts = {"release": using.version, "name": using.engine.settings.name, "columns": using.items.kinds()}
            return facts | {name: value for name, value in using.facts.items() if name != "lineage"}

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Return whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        """Return that queries can be answered, and whether the store can be used; without it answers are degraded."""
        try:
            server.store.users([""])
            state = "ready"
        except StoreError:
            state = "away"
        return {"status": "ready", "release": server.current.version, "store": state}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """Return the metrics of all workers, for Prometheus."""
        return Response(server.metrics.text(server.current), media_type="text/plain; version=0.0.4")
