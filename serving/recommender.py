"""Answers for users from a release and a store: what happened since the release, rules, both steps, and the list."""

import copy
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from core import names
from core.errors import UsageError
from core.queries import Candidates, Queries
from serving.candidates import first_kept
from serving.catalogue import NO_ITEM
from serving.conditions import Condition
from serving.engine import TwoStep
from serving.estimate import Estimate
from serving.explanation import Explanation, explained
from serving.filters import Filters
from serving.hidden import Hidden
from serving.lists import Lists
from serving.popular import Popular
from serving.requests import Degraded, Recommendations, Request
from serving.stores.store import Item, Store, StoreError
from serving.users import ReleaseUsers, User, fitting, merged, queries
from transform.arrow_types import feature_types

log = logging.getLogger("twostep.serve")
DEEPER = 8  # how many times more candidates are retrieved when too few of them fulfil the conditions


class Recommender:
    """The engine of a release, with the users and items of the release and of a store.

    Args:
      version: the version of the release.
      folder: the folder of the release.
      engine: its engine.
      store: the store.
      facts: what else is told of the release.
      before: a recommender of the same store, whose items are taken while the store is away; None for none.
    Raises:
      StoreError: the store is away, and there is no recommender before.
    """

    def __init__(
        self,
        version: str,
        folder: Path,
        engine: TwoStep,
        store: Store,
        facts: Mapping[str, Any],
        before: "Recommender | None" = None,
    ):
        self.version, self.engine, self.store, self.facts = version, engine, store, dict(facts)
        self._release_users = ReleaseUsers(folder / names.USERS_FOLDER)
        self._filters = Filters(engine.catalogue.table)
        self._hidden = Hidden({})
        self._items: dict[str, Item] = {}  # the same items by their ids, those that are not in the release too
        self._refreshing = threading.Lock()
        self._popular = Popular(engine.catalogue.table[names.EVENT_COUNT].to_numpy())
        self._ranking = Estimate()
        title = engine.settings.title
        self._titles = engine.catalogue.table[title].to_pylist() if title else None
        self._lists = Lists(engine.catalogue.ids, self._titles)
        self._refresh_first(before)

    def refresh(self) -> None:
        """Read which items were changed in the store since the last call."""
        with self._refreshing:
            changed, state = self.store.items(self._hidden.state)
            if changed or state != self._hidden.state:
                self._take(self._items | changed, state)

    def _take(self, items: Mapping[str, Item | None], state: int) -> None:
        """Take what the store knows of items at a state."""
        self._items = {each: item for each, item in items.items() if item and (item.hidden or item.expires is not None)}
        rows = {self.engine.catalogue.row(each): item for each, item in self._items.items()}
        rows.pop(NO_ITEM, None)
        self._hidden = Hidden(rows, state)  # a new one, since another thread may read that before

    def _refresh_first(self, before: "Recommender | None") -> None:
        if before is not None:
            self._take(before._items, before._hidden.state)
        try:
            self.refresh()
        except StoreError:
            if before is None:
                raise

    def with_engine(self, engine: TwoStep) -> "Recommender":
        """Return a recommender with another engine of the same catalogue, as the items in the store are now."""
        other = copy.copy(self)
        other.engine = engine
        return other

    def with_items(self, items: Mapping[str, Item], state: int) -> "Recommender":
        """Return a recommender that respects other items of the store, as they were at a state."""
        other = copy.copy(self)
        other._take(items, state)
        return other

    def popular(self, k: int) -> list[dict[str, Any]]:
        """Return id, title and number of events of the items with the most events before the release."""
        rows, events = self._popular.best(k, self._hidden.rows(int(time.time())))
        ids, titles = self.engine.catalogue.ids, self._titles
        return [
            {"item": ids[row], "title": titles[row] if titles else None, "events": number}
            for row, number in zip(rows, events, strict=True)
        ]

    def item(self, item_id: str) -> dict[str, Any] | None:
        """Return what is known of an item; None for an item that is not in the release."""
        row = self.engine.catalogue.row(item_id)
        if row == NO_ITEM:
            return None
        [values] = self.engine.catalogue.table.slice(row, 1).to_pylist()
        known = self._hidden.items.get(row, Item())
        return {"item": values.pop(names.ITEM_ID), "features": values, "hidden": known.hidden, "expires": known.expires}

    def columns(self) -> dict[str, str]:
        """Return column of the items → `number` or `text`, the kinds of values that filters compare it with."""
        kinds = {}
        for each in self.engine.catalogue.table.schema:
            kind = each.type.value_type if pa.types.is_list(each.type) else each.type
            kinds[each.name] = "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "text"
        return kinds

    def user_columns(self) -> dict[str, pa.DataType]:
        """Return the features of users that the models read, with their types."""
        return feature_types(self.engine.settings.features.user)

    def users(self, user_ids: Sequence[str]) -> list[User | None]:
        """Return the users, with their features and events in the release and in the store; None for unknown ones."""
        length = self.engine.settings.features.history_length
        events, columns = self.store.histories(user_ids, length), self.user_columns()
        features = {each: fitting(own, columns) for each, own in self.store.users(user_ids).items()}
        more = [each for each, own in events.items() if len(own) == length]
        seen = self.store.seen(more) if more and self.engine.settings.exclude_seen else {}
        return [
            merged(self._release_users.get(each), events.get(each, ()), features.get(each), length, seen.get(each, ()))
            for each in user_ids
        ]

    def recommend(self, requests: Sequence[Request]) -> list[Recommendations | Exception]:
        """Answer requests as one batch; a request that cannot be answered has an error in its place."""
        answers = dict(self.answers(requests))
        return [answers[index] for index in range(len(requests))]

    def answers(self, requests: Sequence[Request]) -> Iterator[tuple[int, Recommendations | Exception]]:
        """Answer requests as one batch, and yield the position of each with its answer or error.

        Requests that have no time for the ranker come first, in the retriever's order.
        """
        allowed: dict[int, np.ndarray | None] = {}
        for index, request in enumerate(requests):
            try:
                allowed[index] = self._filters.allowed(request.filters) if request.filters else None
            except UsageError as error:
                yield index, error
        chosen = [requests[index] for index in allowed]
        if not chosen:
            return
        users, degraded = self._known_users([request.user_id for request in chosen])
        positions, masks = list(allowed), list(allowed.values())
        for given in (True, False):
            group = [index for index, request in enumerate(chosen) if (request.only is not None) == given]
            if group:
                answers = self._answers(
                    [chosen[index] for index in group],
                    [users[index] for index in group],
                    [masks[index] for index in group],
                    degraded,
                )
                for index, answer in answers:
                    yield positions[group[index]], answer

    def without_models(self, request: Request) -> Recommendations | Exception:
        """Answer a request with the items with the most events, without the models and the store."""
        try:
            mask = self._filters.allowed(request.filters) if request.filters else None
        except UsageError as error:
            return error
        catalogue, user, hidden = self.engine.catalogue, self.release_user(request.user_id), self._hidden
        seen = _with_history(user or User(), request).seen if self.engine.settings.exclude_seen else ()
        left_out = [*hidden.rows(request.time), *catalogue.rows([*request.exclude, *seen]).tolist()]
        only = None if request.only is None else catalogue.rows(dict.fromkeys(request.only))
        rows, events = self._popular.best(request.offset + request.k, left_out, mask, only)
        items = self._lists.popular(rows, events, request.offset)
        return Recommendations(user is not None, items, "popular", state=hidden.state)

    def answer_as(self, request: Request, user: User | None, degraded: Degraded | None) -> Recommendations:
        """Answer a request as from a user, without a look at the store. Raises: UsageError."""
        mask = self._filters.allowed(request.filters) if request.filters else None
        [(_, answer)] = self._answers([request], [user], [mask], degraded)
        return answer

    def release_user(self, user_id: str) -> User | None:
        """Return a user as the release knows it."""
        return self._release_users.get(user_id)

    def explain(self, request: Request) -> Explanation:
        """Return what the answer to a request, which has no given items, is made of. Raises: UsageError."""
        mask = self._filters.allowed(request.filters) if request.filters else None
        [user] = self.users([request.user_id])
        state = _with_history(user or User(), request)
        query = self._query([request], [state])
        ranked = self.engine.rank(query, self._retrieved(query, self._shown([request], [mask], self._hidden)))
        ids, k = self.engine.catalogue.ids, request.offset + request.k
        return Explanation(
            known=user is not None,
            user=state,
            candidates=explained(self.engine, query, ranked, k, state.history, self._titles),
            seen=len(set(state.seen)) if self.engine.settings.exclude_seen else 0,
            hidden=len({*request.exclude, *ids[self._hidden.rows(request.time)]}),
            filtered=0 if mask is None else int((~mask).sum()),
        )

    def titles(self, item_ids: Sequence[str]) -> list[str | None]:
        """Return the titles of items; None for an unknown one, or without titles."""
        rows = self.engine.catalogue.rows(item_ids)
        return [self._titles[row] if self._titles and row != NO_ITEM else None for row in rows.tolist()]

    def some_users(self, k: int) -> list[str]:
        """Return the ids of the first users of the release."""
        return self._release_users.first(k)

    def similar(self, item_id: str, k: int, filters: Sequence[Condition] = ()) -> list[tuple[str, str | None, float]]:
        """Return id, title and similarity of the items most similar to an item, best first; none for an unknown one."""
        catalogue = self.engine.catalogue
        allowed = self._filters.allowed(filters) if filters else np.ones(len(catalogue), bool)
        allowed[self._hidden.rows(int(time.time()))] = False
        width = min(len(catalogue), k)
        while True:
            rows, scores = self.engine.similar(item_id, width)
            kept = allowed[rows]
            if kept.sum() >= k or width == len(catalogue):
                break
            width = min(len(catalogue), width * DEEPER)
        pairs = zip(rows[kept][:k].tolist(), scores[kept][:k].tolist(), strict=True)
        return [(catalogue.ids[row], self._titles[row] if self._titles else None, score) for row, score in pairs]

    def _answers(
        self,
        requests: Sequence[Request],
        users: Sequence[User | None],
        allowed: Sequence[np.ndarray | None],
        degraded: Degraded | None,
    ) -> Iterator[tuple[int, Recommendations]]:
        """Yield the answers to requests that are all with given items, or all without; first those without ranker."""
        states = [_with_history(user or User(), request) for user, request in zip(users, requests, strict=True)]
        query = self._query(requests, states)
        hidden = self._hidden
        shown = self._shown(requests, allowed, hidden)
        free = requests[0].only is None
        candidates = self._retrieved(query, shown) if free else self._given(query, requests, shown)
        began = time.monotonic()
        ready = began + self._ranking.seconds(len(requests))
        in_time = [index for index, request in enumerate(requests) if ready <= request.until]
        for index in sorted(set(range(len(requests))) - set(in_time)):
            items = self._lists.retrieved(candidates, index, requests[index])
            known = users[index] is not None
            yield index, Recommendations(known, items, "retrieval_order", users[index], hidden.state)
        if not in_time:
            return
        if len(in_time) < len(requests):
            query, candidates = query.take(np.array(in_time)), candidates.take(np.array(in_time))
            began = time.monotonic()
        ranked = self.engine.rank(query, candidates)
        rows, scores = self.engine.rerank(
            query, ranked, max(requests[index].offset + requests[index].k for index in in_time)
        )
        found = [
            self._lists.ranked(ranked, place, rows[place], scores[place], requests[index])
            for place, index in enumerate(in_time)
        ]
        self._ranking.measured(len(in_time), time.monotonic() - began)
        for index, items in zip(in_time, found, strict=True):
            yield index, Recommendations(users[index] is not None, items, degraded, users[index], hidden.state)

    def _known_users(self, user_ids: Sequence[str]) -> tuple[list[User | None], Degraded | None]:
        """Return the users; those of the release alone while the store is away."""
        if not self.store.away:
            try:
                return self.users(user_ids), None
            except StoreError as error:
                log.warning("users are known from the release alone: %s", error)
        length = self.engine.settings.features.history_length
        return [merged(self.release_user(each), (), None, length) for each in user_ids], "no_store"

    def _query(self, requests: Sequence[Request], users: Sequence[User]) -> Queries:
        """Return the queries of requests, in which excluded items are not returned."""
        now = [request.time for request in requests]
        excluded = [request.exclude for request in requests]
        return queries([each.user_id for each in requests], users, self.engine.settings, now, excluded)

    def _retrieved(self, query: Queries, shown: Sequence[np.ndarray | None]) -> Candidates:
        """Return the best candidates of those that are shown, as many as the settings say if there are as many.

        So a page of a list does not depend on its length, nor on the other requests of the batch.
        """
        return self.engine.retriever.retrieve(query, self.engine.settings.candidates, shown)

    def _given(self, query: Queries, requests: Sequence[Request], shown: Sequence[np.ndarray | None]) -> Candidates:
        """Return the given items of each request in the retriever's order."""
        width = max(1, *(len(request.only or ()) for request in requests))
        rows = np.full((len(requests), width), NO_ITEM, np.int32)
        for index, request in enumerate(requests):
            own = self.engine.catalogue.rows(dict.fromkeys(request.only or ()))
            own = own[own != NO_ITEM]
            rows[index, : len(own)] = own
        scored = self.engine.retriever.score(query, rows, shown)
        order = np.argsort(-scored.scores, axis=1, kind="stable")
        by_score = Candidates(
            np.take_along_axis(rows, order, axis=1),
            np.take_along_axis(scored.scores, order, axis=1),
            {name: np.take_along_axis(values, order, axis=1) for name, values in scored.signals.items()},
        )
        return first_kept(by_score, by_score.scores > -np.inf, width)

    def _shown(
        self, requests: Sequence[Request], allowed: Sequence[np.ndarray | None], hidden: Hidden
    ) -> list[np.ndarray | None]:
        """Return [Q] masks of the items that fulfil the conditions and are neither hidden nor expired; None for all."""
        masks: list[np.ndarray | None] = []
        for request, mask in zip(requests, allowed, strict=True):
            rows = hidden.rows(request.time)
            if len(rows):
                mask = np.ones(len(self.engine.catalogue), bool) if mask is None else mask.copy()
                mask[rows] = False
            masks.append(mask)
        return masks


def _with_history(user: User, request: Request) -> User:
    """Return the user as the request describes it."""
    history, times, seen = user.history, user.history_time, user.seen
    if request.history is not None:
        history, times, seen = request.history, (), request.history
    return User(user.features, history, times, () if request.seen else seen)
