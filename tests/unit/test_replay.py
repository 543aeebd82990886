"""Answers that are made again from their inputs."""

import asyncio
import json
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
from small_engine import Away, OneRelease, recommender

from core.queries import Candidates
from serving import replay
from serving.conditions import Condition
from serving.experiments.settings import Experiment
from serving.requests import Request
from serving.server.app import Server, application
from serving.server.arms import Arms
from serving.server.settings import ServerSettings
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Answer, Event, Inputs, Item

FEATURES = {"user": {"city": {"kind": "categorical"}}, "item": {}}
HALVES = Experiment.model_validate(
    {"name": "e", "arms": [{"label": "now", "share": 0.5}, {"label": "few", "share": 0.5, "candidates": 3}]}
)


class Reader:
    """A retriever whose scores, and so its order, depend on all that it knows of a user."""

    def __init__(self, inner):
        self._inner, self.asked = inner, []

    def retrieve(self, queries, k, allowed=None):
        found = self._inner.retrieve(queries, 12, allowed)
        return self._cut(self._ordered(queries, found.rows), k)

    def score(self, queries, rows, allowed=None):
        shown = self._inner.score(queries, rows, allowed).scores > -np.inf
        known = self._ordered(queries, rows, sort=False)
        return Candidates(rows, np.where(shown, known.scores, -np.inf).astype(np.float32), {})

    def _ordered(self, queries, rows, sort=True):
        known = [queries.history.to_pylist(), queries.history_time.to_pylist(), queries.users.to_pylist()]
        self.asked.append(json.dumps([*known, queries.time.tolist()]))
        scores = np.array([[(row + 1) * len(str(each)) * 7919 % 97 for row in own] for own, each in zip(
            rows.tolist(), zip(*known, strict=True), strict=True)], np.float32)  # fmt: skip
        scores = np.where(rows >= 0, scores, -np.inf)
        if not sort:
            return Candidates(rows, scores, {})
        order = np.argsort(-scores, axis=1, kind="stable")
        return Candidates(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1), {})

    @staticmethod
    def _cut(found, k):
        return Candidates(found.rows[:, :k], found.scores[:, :k], {})

    def close(self):
        pass


@pytest.fixture
def store(tmp_path):
    store = Away(SqlStore(sqlite_url(tmp_path / "store.sqlite")))
    yield store
    store.close()


@pytest.fixture
def using(tmp_path, store):
    made = recommender(tmp_path / "release", store, features=FEATURES)
    made.engine.retriever = Reader(made.engine.retriever)
    return made


class TwoArms(OneRelease):
    """A release with the arms of HALVES."""

    def using(self, arm=None):
        own = self.recommender
        if arm is not None:
            own = own.view()
            own.items = own.items.with_settings(HALVES.arms[1].applied(own.engine.settings))
        return super().using() if arm is None else OneRelease(own).using()

    def refresh(self):
        self.recommender.refresh()


def serve(using, store, experiment=None, **settings):
    current = TwoArms(using)
    given = ServerSettings(**{"budget_ms": 60_000} | settings)
    return Server(current, store, given, Arms(current, experiment))


def answers(server, *calls):
    """Return the answers to calls of routes, each a path with a body or None, which are logged when it returns."""

    async def all_of_them():
        transport = httpx.ASGITransport(application(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            found = [await (client.get(path) if body is None else client.post(path, json=body)) for path, body in calls]
            await asyncio.to_thread(server.answers.close)
            return found

    return [each.json() for each in asyncio.run(all_of_them())]


def change_everything(store, using):
    """Change all of the store that an answer depends on."""
    store.put_user("known", {"city": "Rome and more"})
    store.put_user("new", {"city": "Paris"})
    store.add_events([Event(f"{user}{n}", user, f"i{n}", 9 + n) for user in ("known", "new") for n in range(1, 5)])
    store.put_item("i0", Item(hidden=True))
    store.put_item("i9", Item())
    store.delete_item("i8")
    store.put_item("i7", Item(expires=1))
    using.refresh()


def begin(store, using):
    """Let the store know something before the answers."""
    store.put_user("known", {"city": "Rome"})
    store.add_events([Event("1", "known", "i0", 5), Event("2", "nobody", "i3", 5)])
    store.put_item("i9", Item(hidden=True))
    store.put_item("i8", Item(expires=5))
    using.refresh()


BODIES = [
    {"user": "known", "k": 4},
    {"user": "known", "k": 2, "offset": 2, "exclude": ["i2"], "filters": [{"column": "genre", "any_of": ["drama"]}]},
    {"user": "known", "k": 4, "history": ["i5", "i4"], "include_seen": True},
    {"user": "nobody", "k": 4},
    {"user": "new", "k": 4},
]
CALLS = [
    *(("/v1/recommend", each) for each in BODIES),
    ("/v1/recommend/batch", {"requests": BODIES}),
    ("/v1/rank", {"user": "known", "items": ["i3", "i0", "x", "i9", "i7"]}),
]


def ids_of(answer):
    return [each["item"] for each in answer["items"]]


def request_ids(found):
    return [each["request_id"] for answer in found for each in answer.get("answers", [answer])]


def test_answers_are_made_again_after_all_has_changed(using, store):
    begin(store, using)
    ids = request_ids(answers(serve(using, store), *CALLS))
    then, using.engine.retriever.asked = using.engine.retriever.asked, []
    change_everything(store, using)
    replays = [replay.read(store, each).again(using) for each in ids]
    assert [each.equal for each in replays] == [True] * len(ids)
    assert len(using.engine.retriever.asked) == len(ids)
    assert set(using.engine.retriever.asked) <= _singles(then)  # histories, times and features
    now = answers(serve(using, store), *CALLS)[: len(BODIES)]
    changed = [ids_of(each) != [item.then for item in one.items] for each, one in zip(now, replays, strict=False)]
    assert sum(changed) >= 3


def _singles(asked):
    """Return what was asked of the retriever, each query by itself."""
    found = set()
    for batch in asked:
        *lists, times = json.loads(batch)
        found |= {json.dumps([*([each] for each in one[:-1]), [one[-1]]]) for one in zip(*lists, times, strict=True)}
    return found


def test_another_state_of_the_items_or_another_user_is_a_difference(using, store):
    begin(store, using)
    [answer] = answers(serve(using, store), CALLS[0])
    inputs = store.inputs(answer["request_id"])
    assert replay.read(store, answer["request_id"]).again(using).equal
    logged = store.answer(answer["request_id"])
    other = replay.Logged(logged, inputs, {answer["items"][0]["item"]: Item(hidden=True)}).again(using)
    assert not other.equal
    assert other.items[0].then == answer["items"][0]["item"] != other.items[0].now
    values = json.loads(inputs.text) | {"user": {}}
    assert not replay.Logged(logged, replace(inputs, text=json.dumps(values)), {}).again(using).equal
    scores = json.loads(inputs.text)["scores"]
    for factor, equal in ((1 + 1e-6, True), (1 + 1e-4, False)):
        text = json.dumps(json.loads(inputs.text) | {"scores": [each * factor for each in scores]})
        found = replay.Logged(logged, replace(inputs, text=text), store.items_at(inputs.state)).again(using)
        assert found.equal is equal


def test_degraded_answers_are_made_again_in_their_way(using, store):
    begin(store, using)
    made = {}
    for degraded, asked in (
        ("popular", Request("known", 4, 100, exclude=("i7",))),
        ("retrieval_order", Request("known", 4, 100, until=replay.NO_TIME)),
        ("no_store", Request("known", 4, 100)),
    ):
        store.gone = degraded == "no_store"
        found = using.without_models(asked) if degraded == "popular" else using.recommend([asked])[0]
        store.gone = False
        assert found.degraded == degraded
        shown = tuple(each.item for each in found.items)
        answer = Answer(degraded, "known", 100, "version", shown, {"degraded": degraded})
        store.add_answers([answer], [replay.inputs(answer, asked, found, None)])
        made[degraded] = shown
    change_everything(store, using)
    for degraded, shown in made.items():
        found = replay.read(store, degraded).again(using)
        assert (found.equal, found.degraded) == (True, degraded)
        assert tuple(each.now for each in found.items) == shown
    assert len(set(made.values())) == 3


def test_an_arm_is_that_of_then(using, store):
    users = [f"u{n}" for n in range(8)]
    calls = [("/v1/recommend", {"user": user, "k": 3}) for user in users]
    found = answers(serve(using, store, HALVES), *calls)
    assert {each["arm"] for each in found} == {"now", "few"}
    asked = []
    using.engine.retriever.retrieve = lambda queries, k, allowed=None: (
        asked.append(k), Reader.retrieve(using.engine.retriever, queries, k, allowed)
    )[1]  # fmt: skip
    assert all(replay.read(store, each["request_id"]).again(using).equal for each in found)
    assert asked == [3 if each["arm"] == "few" else 6 for each in found]


def test_what_the_release_knows_is_not_logged(using, store):
    [answer] = answers(serve(using, store), CALLS[0])
    values = json.loads(store.inputs(answer["request_id"]).text)
    assert values.pop("request").keys() == {"user_id", "k", "time"}
    assert len(values.pop("scores")) == 4
    assert values == {"user": {}, "arm": None}
    store.add_events([Event("1", "known", "i0", 5)])
    store.put_user("known", {"city": "Rome"})
    [answer] = answers(serve(using, store), CALLS[0])
    changed = {"features": {"city": "Rome"}, "seen": ["i0"], "history": [["i11", "i10", "i0"], [1, 2, 5]]}
    assert json.loads(store.inputs(answer["request_id"]).text)["user"] == changed


def test_all_fields_of_a_request_but_its_time_limit_are_logged():
    asked = Request(
        "u", 3, 9, 1, ("a",), ("b", "c"), (Condition(column="x", any_of=("1", 2)),), ("d",), True, until=5.0
    )
    found = type("Found", (), {"user": None, "items": (), "state": 4})()
    text = replay.inputs(Answer("r", "u", 9, "v", ()), asked, found, None).text
    read = replay._REQUEST.validate_python(json.loads(text)["request"])
    assert read == replace(asked, until=float("inf"))


def test_an_answer_without_inputs_is_named(using, store):
    store.add_answers([Answer("old", "u", 5, "version", ()), Answer("again", "u", 5, "version", ())])
    store.add_answers([], [Inputs("again", "u", 6, 0, "{}")])
    for request_id in ("old", "again"):
        with pytest.raises(replay.NotKeptError, match=f"inputs of the answer '{request_id}' are not kept"):
            replay.read(store, request_id)
    with pytest.raises(replay.NotKeptError, match="no answer 'none'"):
        replay.read(store, "none")


def test_the_routes(using, store):
    begin(store, using)
    [first] = answers(serve(using, store), CALLS[0])
    request_id = first["request_id"]
    now = int(time.time())
    store.add_answers([Answer("other", "u", now, "another", ("a",))], [Inputs("other", "u", now, 0, "{}")])
    change_everything(store, using)
    path = "/v1/answers/"
    answer, replayed, none, away = answers(
        serve(using, store), (path + request_id, None), (f"{path}{request_id}/replay", {}), (f"{path}x/replay", {}),
        (f"{path}other/replay", {}),
    )  # fmt: skip
    assert answer["items"] == [each["item"] for each in first["items"]]
    assert (answer["user"], answer["replayable"], answer["detail"]["k"]) == ("known", True, 4)
    assert replayed["equal"]
    assert none["status"] == 404
    assert (away["status"], "twostep replay SOURCE other" in away["detail"]) == (409, True)
    store.erase_user("known")
    [erased] = answers(serve(using, store), (path + request_id, None))
    assert erased["status"] == 404


def test_nothing_is_kept_for_never(using, store):
    server = serve(using, store, keep_replay_hours=0)
    [answer] = answers(server, CALLS[0])
    assert store.answer(answer["request_id"]) is not None
    assert store.inputs(answer["request_id"]) is None
    assert time.time() - store.answer(answer["request_id"]).timestamp < 60
