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
from serving.arranger import Ordered, with_pins
from serving.conditions import Condition
from serving.engine import TwoStep
from serving.estimate import Estimate
from serving.explanation import Explanation, explained
from serving.given import given
from serving.known_items import KnownItems
from serving.requests import Degraded, Listed, Recommendations, Request
from serving.ruling import Allowed, Ruling
from serving.settings import ServingSettings
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
      arms: label → the settings of an arm of an experiment, which are applied to the release, too.
      read_at: when the items of the release were read, in seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        version: str,
        folder: Path,
        engine: TwoStep,
        store: Store,
        facts: Mapping[str, Any],
        before: "Recommender | None" = None,
        arms: Mapping[str, ServingSettings] | None = None,
        read_at: int = 0,
    ):
        self.version, self.store, self.facts = version, store, dict(facts)
        self._release_users = ReleaseUsers(folder / names.USERS_FOLDER)
        engines: dict[str | None, TwoStep] = {
            label: engine.with_settings(settings) for label, settings in (arms or {}).items()
        }
        self._arm: str | None = None
        self.items = KnownItems.of_release({None: engine, **engines}, read_at)
        self._refreshing = threading.Lock()
        self._ranking = Estimate()
        self._refresh_first(before)

    @property
    def engine(self) -> TwoStep:
        """Return the engine, over the items of the release and those that were posted."""
        return self.items.engines[self._arm]

    def view(self, arm: str | None = None) -> "Recommender":
        """Return the recommender with the items as they are now, and the settings of an arm; None for the release's."""
        other = copy.copy(self)
        other._arm = arm
        return other

    def refresh(self) -> None:
        """Read which items were changed in the store since the last call."""
        with self._refreshing:
            changed, state = self.store.items(self.items.hidden.state)
            if changed or state != self.items.hidden.state:
                self._take({**self.items.store, **changed}, state)

    def _take(self, items: Mapping[str, Item | None], state: int) -> None:
        """Take what the store knows of items at a state."""
        self.items = self.items.with_store(items, state)

    def as_at(self, items: Mapping[str, Item], state: int, settings: ServingSettings | None = None) -> "Recommender":
        """Return a recommender that knows what the store said of items at a state.

        Args:
          items: what it said.
          state: the state.
          settings: other settings for the release; None for its own.
        """
        other = self.view()
        other._take(items, state)
        other.items = other.items if settings is None else other.items.with_settings(settings)
        return other

    def _refresh_first(self, before: "Recommender | None") -> None:
        if before is not None:
            self._take(before.items.store, before.items.hidden.state)
        try:
            self.refresh()
        except StoreError as error:
            if before is None:
                log.warning("it is not known which items are hidden: %s", error)

    def user_columns(self) -> dict[str, pa.DataType]:
        """Return the features of users that the models read, with their types."""
        return feature_types(self.engine.settings.features.user)

    def users(self, user_ids: Sequence[str]) -> list[User | None]:
        """Return the users, with their features and events in the release and in the store; None for unknown ones."""
        length = self.engine.settings.features.history_length
        columns, known = self.user_columns(), self.store.known(user_ids, length, self.engine.settings.exclude_seen)
        users: list[User | None] = []
        for each in user_ids:
            own = known[each]
            features = None if own.features is None else fitting(own.features, columns)
            users.append(merged(self._release_users.get(each), own.events, features, length, own.seen))
        return users

    def recommend(self, requests: Sequence[Request]) -> list[Recommendations | Exception]:
        """Answer requests as one batch; a request that cannot be answered has an error in its place."""
        answers = dict(self.answers(requests))
        return [answers[index] for index in range(len(requests))]

    def answers(self, requests: Sequence[Request]) -> Iterator[tuple[int, Recommendations | Exception]]:
        """Answer requests as one batch, and yield the position of each with its answer or error.

        Requests that have no time for the ranker come first, in the retriever's order.
        """
        allowed: dict[int, Allowed] = {}
        for index, request in enumerate(requests):
            try:
                allowed[index] = self._allowed(request)
            except UsageError as error:
                yield index, error
        chosen = [requests[index] for index in allowed]
        if not chosen:
            return
        users, degraded = self._known_users([request.user_id for request in chosen])
        positions, conditions = list(allowed), list(allowed.values())
        for with_items in (True, False):
            group = [index for index, request in enumerate(chosen) if (request.only is not None) == with_items]
            if group:
                answers = self._answers(
                    [chosen[index] for index in group],
                    [users[index] for index in group],
                    [conditions[index] for index in group],
                    degraded,
                )
                for index, answer in answers:
                    yield positions[group[index]], answer

    def without_models(self, request: Request) -> Recommendations | Exception:
        """Answer a request with the items with the most events, without the models and the store."""
        try:
            allowed = self._allowed(request)
        except UsageError as error:
            return error
        catalogue, user = self.engine.catalogue, self.release_user(request.user_id)
        seen = _with_history(user or User(), request).seen if self.engine.settings.exclude_seen else ()
        left_out = catalogue.rows([*request.exclude, *seen])
        only = None if request.only is None else catalogue.rows(dict.fromkeys(request.only))
        length = request.offset + request.k
        rows, _ = self.items.popular.best(length, left_out, allowed.mask, only)
        rows = with_pins(rows, allowed.ruling, length)
        items = self.items.lists.popular(rows, self.items.popular.events(rows), request.offset, allowed.ruling.mark)
        return Recommendations(user is not None, items, "popular", state=self.items.hidden.state)

    def answer_as(self, request: Request, user: User | None, degraded: Degraded | None) -> Recommendations:
        """Answer a request as from a user, without a look at the store. Raises: UsageError."""
        [(_, answer)] = self._answers([request], [user], [self._allowed(request)], degraded)
        return answer

    def release_user(self, user_id: str) -> User | None:
        """Return a user as the release knows it."""
        return self._release_users.get(user_id)

    def explain(self, request: Request) -> Explanation:
        """Return what the answer to a request, which has no given items, is made of. Raises: UsageError."""
        allowed = self._allowed(request)
        [user] = self.users([request.user_id])
        state = _with_history(user or User(), request)
        query = self._query([request], [state])
        ordered = self._ordered(query, self._candidates(query, [request], [allowed]), [request], [allowed.ruling])
        found = self.items.arranger.arranged(self.engine, query, ordered, 0, request, allowed)
        rows = found.rows[: request.offset + request.k]
        return Explanation(
            known=user is not None,
            user=state,
            candidates=explained(
                self.engine, query, found.ranked, rows, state.history, self.items.titles, allowed.ruling.mark
            ),
            seen=len(set(state.seen)) if self.engine.settings.exclude_seen else 0,
            hidden=len({*request.exclude, *self.items.hidden_ids(request.time)}),
            own=len(self._own(request)),
            filtered=int((~self.items.filters.allowed(request.filters)).sum()) if request.filters else 0,
        )

    def some_users(self, k: int) -> list[str]:
        """Return the ids of the first users of the release."""
        return self._release_users.first(k)

    def similar(self, item_id: str, k: int, filters: Sequence[Condition] = ()) -> list[tuple[str, str | None, float]]:
        """Return id, title and similarity of the items most similar to an item, best first; none for an unknown one."""
        catalogue = self.engine.catalogue
        allowed = self.items.filters.allowed(filters) if filters else np.ones(len(catalogue), bool)
        allowed[self.items.hidden.rows(int(time.time()))] = False
        width = min(len(catalogue), k)
        while True:
            rows, scores = self.engine.similar(item_id, width)
            kept = allowed[rows]
            if kept.sum() >= k or width == len(catalogue):
                break
            width = min(len(catalogue), width * DEEPER)
        ids = catalogue.ids[rows[kept][:k]].tolist()
        return list(zip(ids, self.items.titles_of(ids), scores[kept][:k].tolist(), strict=True))

    def _answers(
        self,
        requests: Sequence[Request],
        users: Sequence[User | None],
        allowed: Sequence[Allowed],
        degraded: Degraded | None,
    ) -> Iterator[tuple[int, Recommendations]]:
        """Yield the answers to requests that are all with given items, or all without; first those without ranker."""
        states = [_with_history(user or User(), request) for user, request in zip(users, requests, strict=True)]
        query = self._query(requests, states)
        candidates = self._candidates(query, requests, allowed)
        began = time.monotonic()
        ready = began + self._ranking.seconds(len(requests))
        in_time = [index for index, request in enumerate(requests) if ready <= request.until]
        for index in sorted(set(range(len(requests))) - set(in_time)):
            request, ruling = requests[index], allowed[index].ruling
            rows = self.items.arranger.retrieved(self.engine, candidates, index, request, ruling)
            items = self.items.lists.retrieved(candidates, index, rows, request, ruling.mark)
            yield index, self._made(users[index], items, "retrieval_order")
        if not in_time:
            return
        if len(in_time) < len(requests):
            query, candidates = query.take(np.array(in_time)), candidates.take(np.array(in_time))
            began = time.monotonic()
        ordered = self._ordered(
            query, candidates, [requests[index] for index in in_time], [allowed[index].ruling for index in in_time]
        )
        self._ranking.measured(len(in_time), time.monotonic() - began)
        # Those with caps are last, since they may need further items.
        for place, index in sorted(enumerate(in_time), key=lambda each: bool(allowed[each[1]].ruling.caps)):
            request, own = requests[index], allowed[index]
            found = self.items.arranger.arranged(self.engine, query, ordered, place, request, own)
            items = self.items.lists.ranked(found.ranked, 0, found.rows, found.scores, request, own.ruling.mark)
            yield index, self._made(users[index], items, degraded)

    def _made(self, user: User | None, items: tuple[Listed, ...], degraded: Degraded | None) -> Recommendations:
        """Return an answer with what it was made of."""
        return Recommendations(user is not None, items, degraded, user, self.items.hidden.state)

    def _ordered(
        self, query: Queries, candidates: Candidates, requests: Sequence[Request], rulings: Sequence[Ruling]
    ) -> Ordered:
        """Rank and re-rank candidates."""
        ranked = self.engine.rank(query, candidates)
        width = self.items.arranger.width(self.engine, requests, rulings, candidates.rows.shape[1])
        return Ordered(ranked, *self.engine.rerank(query, ranked, width))

    def _allowed(self, request: Request) -> Allowed:
        """Return the items that the models may return, and the rules. Raises: UsageError."""
        mask = self.items.filters.allowed(request.filters) if request.filters else None
        hidden = self.items.hidden.rows(request.time)
        ruling = self.items.rulings.of(self.engine.catalogue, request, hidden)
        left_out = np.concatenate([hidden, self._own(request), np.array(ruling.pinned, np.int32)])
        if len(left_out):
            mask = np.ones(len(self.engine.catalogue), bool) if mask is None else mask
            mask[left_out] = False
        return Allowed(mask, ruling)

    def _own(self, request: Request) -> np.ndarray:
        """Return the rows of the items that belong to the user, unless the caller gave the items."""
        if self.items.owners is None or request.only is not None:
            return np.zeros(0, np.int32)
        return self.items.owners.rows_with(request.user_id)

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

    def _candidates(self, query: Queries, requests: Sequence[Request], allowed: Sequence[Allowed]) -> Candidates:
        """Return the given items, or the best candidates, as many as the settings say, with those of the rules.

        So a page of a list does not depend on its length, nor on the other requests of the batch.
        """
        masks = [each.mask for each in allowed]
        if requests[0].only is not None:
            return given(self.engine, query, requests, masks)
        candidates = self.engine.retriever.retrieve(query, self.engine.settings.candidates, masks)
        return self.items.arranger.extended(self.engine, query, candidates, allowed)


def _with_history(user: User, request: Request) -> User:
    """Return the user as the request describes it."""
    history, times, seen = user.history, user.history_time, user.seen
    if request.history is not None:
        history, times, seen = request.history, (), request.history
    return User(user.features, history, times, () if request.seen else seen)
