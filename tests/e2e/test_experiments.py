"""A server with an experiment over two releases of a real run, the report on its log, and the impressions."""

import json
import time

import pyarrow.parquet as pq
import pytest
import yaml
from serving_process import serving

from core import names
from core.arrow import read_arrow
from core.files import read_json
from core.release import reader, writer
from serving import models
from serving.client import ServerError
from serving.experiments import assignment
from serving.experiments.settings import Experiment
from serving.stores.sql import SqlStore, sqlite_url
from serving.users import ReleaseUsers, query

DIVERSE = {"mmr": {"weight": 0.5}}


@pytest.fixture(scope="module")
def releases(releases):
    """Return a folder with two releases; the later one, in force, has 30 candidates in place of 50."""
    before = reader.resolve(releases)
    parts = {name: before / name for name in (*reader.FOLDERS, *reader.FILES)}
    facts = read_json(before / names.MANIFEST_FILE)["facts"]
    writer.publish(releases, parts, facts | {"serving": facts["serving"] | {"candidates": 30}})
    return releases


@pytest.fixture(scope="module")
def versions(finished, releases):
    """Return the versions of the earlier release and of the one in force."""
    return finished.current(), reader.current(releases)


@pytest.fixture(scope="module")
def experiment(releases, versions):
    """Return the experiment, whose file is beside the releases."""
    arms = [
        {"label": "champion", "share": 0.4},
        {"label": "diverse", "share": 0.4, "candidates": 20, "reranking": DIVERSE},
        {"label": "before", "share": 0.2, "release": versions[0]},
    ]
    (releases.parent / "arms.yaml").write_text(yaml.safe_dump({"name": "diversity", "arms": arms}))
    return Experiment(name="diversity", arms=arms)


@pytest.fixture(scope="module")
def file(releases):
    return releases.parent / "store.sqlite"


@pytest.fixture(scope="module")
def client(releases, experiment, file):
    options = ("--store", f"sqlite:{file}", "--experiment", releases.parent / "arms.yaml")
    with serving(releases, *options) as server, server.client() as client:
        yield client


@pytest.fixture(scope="module")
def engines(releases, versions, experiment):
    """Return label → the engine that makes the lists of the arm."""
    before, now = (models.of_release(releases / version) for version in versions)
    diverse = now.settings.model_copy(update={"candidates": 20, "reranking": experiment.arms[1].reranking})
    return {"champion": now, "diverse": now.with_settings(diverse), "before": before}


@pytest.fixture(scope="module")
def users(releases):
    """Return label → users of the release in the arm, by the hash alone."""
    [first, *_] = sorted((reader.resolve(releases) / names.USERS_FOLDER).glob("*.arrow"))
    found = {"champion": [], "diverse": [], "before": []}
    for user in read_arrow(first)[names.USER_ID].to_pylist():
        found[list(found)[assignment.arm("diversity", user, (0.4, 0.4, 0.2))]].append(user)
    return found


@pytest.mark.parametrize("label", ["champion", "diverse", "before"])
def test_the_lists_of_an_arm_are_those_of_an_engine_with_its_settings(
    client, engines, users, versions, releases, label
):
    engine, stored = engines[label], ReleaseUsers(reader.resolve(releases) / names.USERS_FOLDER)
    answers = client.recommend_batch([{"user": user} for each in users.values() for user in each[:5]])
    own = [each for each in answers if each.arm == label]
    assert [each.user for each in own] == users[label][:5]
    for answer in own:
        rows, _ = engine.recommend(query(answer.user, stored.get(answer.user), engine.settings, int(time.time())), 10)
        assert [each.item for each in answer.items] == engine.catalogue.ids[rows[0]].tolist()
        assert answer.release == versions[label != "before"]
    assert len(client.explain(users[label][0]).candidates) == engine.settings.candidates


def test_arms_make_different_lists(client, engines, users, releases):
    stored = ReleaseUsers(reader.resolve(releases) / names.USERS_FOLDER)
    state = stored.get(users["diverse"][0])
    lists = [
        engine.catalogue.ids[engine.recommend(query("u", state, engine.settings, int(time.time())), 10)[0][0]].tolist()
        for engine in engines.values()
    ]
    assert lists[0] != lists[1]


def test_the_number_of_candidates_of_an_arm_bounds_its_lists(client, users):
    assert len(client.recommend(users["champion"][0], 25).items) == 25
    assert len(client.recommend(users["before"][0], 45).items) == 45
    with pytest.raises(ServerError, match="offset \\+ k should be at most 20"):
        client.recommend(users["diverse"][0], 25)


def test_an_item_is_hidden_in_all_arms(client, users):
    for label in ("champion", "diverse", "before"):
        best = client.recommend(users[label][0], 5).items[0].item
        client.put_item(best, hidden=True)
        assert best not in [each.item for each in client.recommend(users[label][0], 5).items]
        client.delete_item(best)
        assert client.recommend(users[label][0], 5).items[0].item == best


def test_given_items_are_ranked_by_the_arm(client, users):
    listed = client.recommend(users["before"][1], 10)
    answer = client.rank(users["before"][1], [each.item for each in listed.items] + ["none"])
    assert (answer.arm, answer.unknown) == ("before", ["none"])


def test_the_log_says_arm_and_propensity(client, users, versions, file):
    answers = [client.recommend(users[label][2], 4, offset=3) for label in ("champion", "diverse", "before")]
    store = SqlStore(sqlite_url(file))
    for answer, share in zip(answers, (0.4, 0.4, 0.2), strict=True):
        end = time.monotonic() + 30
        while (logged := store.answer(answer.request_id)) is None:
            assert time.monotonic() < end
            time.sleep(0.05)
        expected = {"experiment": "diversity", "arm": answer.arm, "propensity": share, "k": 4, "offset": 3}
        assert expected.items() <= dict(logged.detail).items()
        assert (logged.release, logged.items) == (answer.release, tuple(each.item for each in answer.items))
    store.close()
    assert answers[2].release == versions[0] != answers[1].release == versions[1]


def test_the_report_and_the_impressions_of_a_log(twostep, finished, releases, experiment, users, tmp_path):
    """Events of the second arm's users alone, with two of five shown items, make its mean two and others' zero."""
    store = tmp_path / "store.sqlite"
    options = ("--store", f"sqlite:{store}")
    with (
        serving(releases, *options, "--experiment", releases.parent / "arms.yaml") as server,
        server.client() as client,
    ):
        for user in [each for of_arm in users.values() for each in of_arm]:
            answer = client.recommend(user, 5)
            if answer.arm == "diverse":
                client.add_events([{"user": user, "item": each.item} for each in answer.items[1:3]])
    done = twostep.fork(
        "experiment", "report", *options, "--experiment", releases.parent / "arms.yaml", "--json", folder=tmp_path
    )
    assert done.code == 0, done.err
    champion, diverse, before = json.loads(done.out)["arms"]
    assert [each["users"] for each in (champion, diverse, before)] == [len(each) for each in users.values()]
    assert [each["reward"]["snips"]["value"] for each in (champion, diverse, before)] == [0, 2, 0]
    assert diverse["difference"]["dr"]["low"] > 1
    total = sum(map(len, users.values()))
    assert diverse["reward"]["ips"]["value"] == pytest.approx(len(users["diverse"]) / 0.4 * 2 / total)
    shown = finished.folder / "data" / "logged.parquet"
    done = twostep.fork("experiment", "impressions", *options, "--to", shown, folder=tmp_path)
    assert done.code == 0, done.err
    assert len(pq.read_table(shown)) == 5 * total
    config = finished.config("logged.yaml", data={"impressions": {"path": shown.name, "on_duplicate": "error"}})
    done = twostep.fork("data", "check", config, folder=tmp_path)
    assert done.code == 0, done.out + done.err
    assert f"{5 * total:,}" in done.out


def test_an_arm_that_does_not_fit_is_named(twostep, releases, tmp_path):
    for arm, code, message in (
        ("release: none", 2, "arms.1.release: "),
        (
            "reranking: {freshness: {column: nothing}}",
            1,
            "the arm 'b' does not fit the release: reranking.freshness.column",
        ),
        ("share: 0.6", 2, "set twice"),
    ):
        (tmp_path / "e.yaml").write_text(f"name: e\narms: [{{label: a, share: 0.5}}, {{label: b, share: 0.5, {arm}}}]")
        done = twostep.fork("serve", releases, "--port", "0", "--experiment", "e.yaml", folder=tmp_path)
        assert done.code == code, done.err
        assert message in done.err
    done = twostep.fork("serve", reader.resolve(releases), "--experiment", "e.yaml", folder=tmp_path)
    assert done.code == 2
