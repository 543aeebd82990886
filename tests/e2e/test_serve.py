"""The HTTP server over the release of a real run."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from serving_process import serving

from core import names
from core.arrow import read_arrow
from core.release import reader
from serving import models
from serving.client import ServerError
from serving.users import ReleaseUsers, query

TOKEN = "a token of the tests"


@pytest.fixture(scope="module")
def server(releases):
    with serving(releases, "--store", f"sqlite:{releases.parent / 'store.sqlite'}") as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def release(releases):
    return reader.resolve(releases)


@pytest.fixture(scope="module")
def engine(release):
    return models.of_release(release)


@pytest.fixture(scope="module")
def users(release):
    """Return the ids of the first users of the release."""
    files = sorted((release / names.USERS_FOLDER).glob("*.arrow"))
    return read_arrow(files[0])[names.USER_ID].to_pylist()[:20]


def ids(answer):
    return [each.item for each in answer.items]


# ---- answers ----


def test_the_list_is_that_of_the_engine(client, engine, release, users):
    stored = ReleaseUsers(release / names.USERS_FOLDER)
    for user in users[:5]:
        rows, scores = engine.recommend(query(user, stored.get(user), engine.settings, int(time.time())), 10)
        answer = client.recommend(user, 10)
        assert ids(answer) == engine.catalogue.ids[rows[0]].tolist()
        assert [each.score for each in answer.items] == pytest.approx(scores[0].tolist(), abs=1e-4)
        assert answer.known
        assert answer.release == release.name


def test_answers_of_a_batch_are_those_of_single_requests(client, users):
    requests = [{"user": user, "k": 3 + number} for number, user in enumerate(users[:6])]
    together = client.recommend_batch(requests)
    assert [ids(each) for each in together] == [ids(client.recommend(each["user"], each["k"])) for each in requests]
    with ThreadPoolExecutor(6) as threads:
        beside = list(threads.map(lambda each: client.recommend(each["user"], each["k"]), requests))
    assert [ids(each) for each in beside] == [ids(each) for each in together]


def test_pages_follow_each_other(client, users):
    whole = ids(client.recommend(users[0], 20))
    assert ids(client.recommend(users[0], 7)) + ids(client.recommend(users[0], 13, offset=7)) == whole


def test_pages_of_a_filtered_list_fit_together_alone_and_in_a_batch(client, users):
    asked = {"user": users[0], "filters": [{"column": "genres", "any_of": ["Horror", "Western"]}]}
    whole = client.recommend(k=10, **asked)
    pages = [asked | {"k": 4}, asked | {"k": 6, "offset": 4}, {"user": users[1], "k": 20}]
    first, second, _ = client.recommend_batch(pages)
    assert ids(first) + ids(second) == ids(whole)
    assert ids(client.recommend(k=4, **asked)) == ids(first)


def test_a_new_user_gets_a_list(client):
    answer = client.recommend("nobody knows me", 10)
    assert not answer.known
    assert len(set(ids(answer))) == 10


def test_items_of_a_filter_alone_and_as_many_as_asked(client, engine, users):
    table = engine.catalogue.table
    genres = dict(zip(engine.catalogue.ids, table["genres"].to_pylist(), strict=True))
    rare = min(
        {each for value in genres.values() for each in value}, key=lambda one: sum(one in g for g in genres.values())
    )
    condition = [{"column": "genres", "any_of": [rare]}]
    found = ids(client.recommend(users[0], 10, filters=condition, include_seen=True))
    matching = {item for item, value in genres.items() if rare in value}
    assert set(found) <= matching
    assert len(found) == min(10, len(matching))
    others = ids(client.recommend(users[0], 10, filters=[{"column": "genres", "none_of": ["Drama"]}]))
    assert len(others) == 10
    assert not any("Drama" in genres[item] for item in others)


def test_excluded_and_seen_items_are_left_out(client, release, users):
    seen = set(ReleaseUsers(release / names.USERS_FOLDER).get(users[1]).seen)
    first = ids(client.recommend(users[1], 10))
    assert not seen & set(first)
    second = ids(client.recommend(users[1], 10, exclude=first[:5]))
    assert not set(first[:5]) & set(second)
    assert len(second) == 10


def test_given_items_are_ranked(client, users):
    first = ids(client.recommend(users[2], 10))
    answer = client.rank(users[2], [*reversed(first), "no such item", first[0]])
    assert ids(answer) == first
    assert answer.unknown == ["no such item"]


def test_an_explanation_is_that_of_the_list(client, users):
    listed = client.recommend(users[3], 10)
    made = client.explain(users[3], 10)
    by_position = sorted((each for each in made.candidates if each.position), key=lambda each: each.position)
    assert [each.item for each in by_position] == ids(listed)
    assert [each.retrieval_rank for each in by_position] == [each.retrieval_rank for each in listed.items]
    assert [each.retrieval_rank for each in made.candidates] == list(range(1, len(made.candidates) + 1))
    scores = [each.score for each in sorted(made.candidates, key=lambda each: each.ranker_rank)]
    assert scores == sorted(scores, reverse=True)
    assert [each.item for each in made.history] == client.user(users[3])["history"]
    assert made.seen >= len({each.item for each in made.history})
    few = client.explain(users[3], 10, filters=[{"column": "genres", "any_of": ["Drama"]}])
    assert few.filtered > 0
    assert len(few.candidates) < len(made.candidates) + few.filtered


def test_similar_items(client, engine):
    item = engine.catalogue.ids[0]
    rows, _ = engine.similar(item, 5)
    assert ids(client.similar(item, 5)) == engine.catalogue.ids[rows].tolist()
    with pytest.raises(ServerError, match="404") as error:
        client.similar("no such item")
    assert error.value.status == 404


# ---- events, users and items ----


def test_an_event_counts_in_the_next_answer_and_once(client):
    user = "new since the release"
    before = ids(client.recommend(user, 10))
    event = {"id": "event 1", "user": user, "item": before[0]}
    assert client.add_events([event]).accepted == 1
    assert client.add_events([event]).accepted == 0
    answer = client.recommend(user, 10)
    assert answer.known
    assert before[0] not in ids(answer)
    assert client.user(user)["history"] == [before[0]]
    assert ids(client.recommend(user, 10, history=[])) == before
    assert client.erase_user(user) >= 1
    assert ids(client.recommend(user, 10)) == before


def test_events_of_other_users_change_nothing(client, users):
    before = [ids(client.recommend(user, 10)) for user in users[:3]]
    client.add_events([{"user": "somebody else", "item": item} for item in before[0]])
    assert [ids(client.recommend(user, 10)) for user in users[:3]] == before


def test_features_of_a_user_replace_those_of_the_release(client, users):
    before = client.user(users[3])["features"]
    client.put_user(users[3], {"age": 99.0})
    assert client.user(users[3])["features"] == before | {"age": 99.0}
    client.erase_user(users[3])
    assert client.user(users[3])["features"] == before


def test_a_hidden_or_expired_item_is_nowhere(client, engine, users):
    [hidden, expired, later, *_] = ids(client.recommend(users[4], 10))
    now = int(time.time())
    client.put_item(hidden, hidden=True)
    client.put_item(expired, expires=now - 1)
    client.put_item(later, expires=now + 1000)
    found = ids(client.recommend(users[4], 10))
    assert later in found
    near_later = engine.catalogue.ids[engine.similar(later, 1)[0][0]]
    assert ids(client.similar(later, 1)) == [near_later]
    near = [each for each in engine.catalogue.ids[:100] if later in ids(client.similar(each, 50))]
    assert near  # an item that will expire is similar to others until then
    assert not {hidden, expired} & set(found)
    assert len(found) == 10
    for item in (hidden, expired):
        neighbour = engine.catalogue.ids[engine.similar(item, 1)[0][0]]
        assert item not in ids(client.similar(neighbour, 20))
        assert item not in [each["item"] for each in client.popular(1000)]
        assert client.item(item)["hidden"] == (item == hidden)
        client.delete_item(item)
    client.delete_item(later)
    assert ids(client.recommend(users[4], 10))[:2] == [hidden, expired]
    with pytest.raises(ServerError, match="404"):
        client.delete_item(hidden)


def test_a_posted_item_is_recommended_beside_those_of_the_release(client, engine, users):
    best = ids(client.recommend(users[5], 10))[0]
    features = {key: value for key, value in client.item(best)["features"].items() if key != names.EVENT_COUNT}
    only = [{"column": "title", "any_of": ["The new one"]}]
    assert ids(client.recommend(users[5], 10, filters=only)) == []
    client.put_item("new", features=features | {"title": "The new one"})
    answer = client.recommend(users[5], 10, filters=only)
    assert [(each.item, each.title) for each in answer.items] == [("new", "The new one")]
    assert client.item("new")["posted"]
    [found] = [each for each in client.explain(users[5], 10, filters=only).candidates if each.item == "new"]
    assert 0 < found.probability < 1
    client.add_events([{"user": users[5], "item": "new"}])
    assert ids(client.recommend(users[5], 10, filters=only)) == []  # seen
    client.erase_user(users[5])
    with pytest.raises(ServerError, match=r"422.*features.colour: items have no such feature"):
        client.put_item("newer", features={"colour": "red"})
    client.delete_item("new")
    assert ids(client.recommend(users[5], 10, filters=only)) == []
    with pytest.raises(ServerError, match="404"):
        client.item("new")


def test_the_first_event_of_a_new_user_changes_the_next_list(client, engine):
    """Models of events fold a new user in from the history, without a fit."""
    before = ids(client.recommend("a new user", 10))
    liked = engine.catalogue.ids[0]
    client.add_events([{"user": "a new user", "item": liked}])
    after = client.recommend("a new user", 10)
    assert after.known
    assert ids(after) != before
    assert liked not in ids(after)
    client.erase_user("a new user")
    assert ids(client.recommend("a new user", 10)) == before


# ---- bad input ----

REFUSED = [
    ("/v1/recommend", {"user": "u", "k": 0}, 422, "body.k"),
    ("/v1/recommend", {"user": "u", "k": -1}, 422, "body.k"),
    ("/v1/recommend", {"user": "u", "k": 10**9}, 422, "body.k"),
    ("/v1/recommend", {"user": "u", "k": "many"}, 422, "body.k"),
    ("/v1/recommend", {"user": "u", "k": 40, "offset": 40}, 422, "offset + k should be at most 50"),
    ("/v1/recommend", {"user": ""}, 422, "body.user"),
    ("/v1/recommend", {"user": "a\0b"}, 422, "body.user"),
    ("/v1/recommend", {"k": 3}, 422, "body.user"),
    ("/v1/recommend", {"user": "u", "colour": 1}, 422, "body.colour"),
    ("/v1/recommend", {"user": "u", "filters": [{"column": "colour", "any_of": ["x"]}]}, 422, "no column 'colour'"),
    ("/v1/recommend", {"user": "u", "filters": [{"column": "genres"}]}, 422, "body.filters.0"),
    ("/v1/rank", {"user": "u", "items": []}, 422, "body.items"),
    ("/v1/recommend/batch", {"requests": []}, 422, "body.requests"),
    (
        "/v1/events",
        {"events": [{"user": "u", "item": "i", "timestamp": 2**40}]},
        422,
        "events.0.timestamp: should be at",
    ),
    ("/v1/events", {"events": [{"user": "u", "item": "i", "timestamp": -5}]}, 422, "body.events.0.timestamp"),
    ("/v1/nothing", {}, 404, "Not Found"),
]


@pytest.mark.parametrize(("path", "body", "status", "detail"), REFUSED)
def test_a_wrong_request_is_answered_with_its_field(server, path, body, status, detail):
    response = httpx.post(server.url + path, json=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert detail in response.json()["detail"]
    assert response.headers["x-request-id"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"user": "\xff"}',
        b'{"user": "u", "k": NaN}',
        b'{"user": "\\ud800"}',
        b"[" * 100_000,
        b'{"user": "u"' + b" " * 2_000_000 + b"}",
    ],
    ids=["empty", "cut", "not UTF-8", "NaN", "surrogate", "deep", "large"],
)
def test_a_broken_body_is_the_callers_fault(server, content):
    response = httpx.post(server.url + "/v1/recommend", content=content)
    assert response.status_code in (400, 413, 422)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/popular?k=-1", "/v1/popular?k=many", "/v1/users?k=0", "/v1/users?k=100000"])
def test_a_wrong_number_in_a_url_is_named(server, path):
    response = httpx.get(server.url + path)
    assert response.status_code == 422
    assert "query.k" in response.json()["detail"]


def test_wrong_features_are_named(client, users):
    for values, message in (({"colour": 1}, "users have no such feature"), ({"age": "old"}, "features.age: should be")):
        with pytest.raises(ServerError, match=message):
            client.put_user(users[0], values)


def test_a_request_id_is_that_of_the_caller_if_it_is_harmless(server):
    for given, kept in (("abc-1", True), ("a b", False), ("x" * 200, False)):
        response = httpx.post(server.url + "/v1/recommend", json={"user": "u"}, headers={"X-Request-ID": given})
        assert (response.headers["x-request-id"] == given) == kept
        assert response.json()["request_id"] == response.headers["x-request-id"]


def test_a_history_of_ten_thousand_is_answered(client, engine):
    history = (list(engine.catalogue.ids) * 10)[:10_000]
    assert len(ids(client.recommend("u", 10, history=history, include_seen=True))) == 10


# ---- state ----


def test_health_metrics_and_documentation(server, releases):
    assert "<title>twostep</title>" in httpx.get(server.url + "/").text
    assert httpx.get(server.url + "/page/../app.py").status_code == 404
    assert httpx.get(server.url + "/page/nothing.js").status_code == 404
    assert httpx.get(server.url + "/healthz").json() == {"status": "ok"}
    ready = {"status": "ready", "release": reader.current(releases), "store": "ready"}
    assert httpx.get(server.url + "/readyz").json() == ready
    metrics = httpx.get(server.url + "/metrics").text
    assert 'twostep_requests_total{route="/v1/recommend",status="200"}' in metrics
    assert f'twostep_release{{version="{reader.current(releases)}"}} 1.0' in metrics
    assert "/v1/recommend" in httpx.get(server.url + "/openapi.json").json()["paths"]


def test_a_token_is_asked_for(releases, tmp_path):
    with serving(releases, "--store", f"sqlite:{tmp_path / 'store.sqlite'}", token=TOKEN) as server:
        with server.client("another token") as client, pytest.raises(ServerError, match="401"):
            client.recommend("u")
        with server.client(TOKEN) as client:
            assert client.recommend("u").items
        assert "<title>twostep</title>" in httpx.get(server.url + "/").text
        assert httpx.get(server.url + "/healthz").status_code == 200
        assert httpx.get(server.url + "/metrics").status_code == 401


def test_wrong_uses_are_told(twostep, finished, tmp_path):
    for arguments, code, message in (
        (["--host", "0.0.0.0"], 2, "needs a token"),
        (["--store", "mysql://u:secret@host/x"], 2, "--store: should be sqlite:FILE or postgresql://"),
        (["--port", "70000"], 2, "serve: port: should be less than or equal to 65535"),
    ):
        done = twostep.fork("serve", finished.releases, *arguments, folder=tmp_path)
        assert done.code == code, done.err
        assert message in done.err
        assert "secret" not in done.err
    unmade = finished.config("unmade.yaml", run_folder="runs/unmade")
    done = twostep.fork("serve", unmade, "--port", "0", folder=tmp_path)
    assert done.code == 1
    assert "no release is in force. There is no release yet; `twostep run` makes one" in done.err
    (tmp_path / "empty").mkdir()
    done = twostep.fork("serve", tmp_path / "empty", "--port", "0", folder=tmp_path)
    assert done.code == 1
    assert "`twostep run` makes one" in done.err
