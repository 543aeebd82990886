"""The report of an experiment and the table of impressions, from a made log with known answers."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.errors import DataError
from pipeline import cli
from serving.experiments import impressions, rewards
from serving.experiments.settings import Experiment
from serving.stores import sql
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Answer, Event

EXPERIMENT = Experiment(name="e", arms=({"label": "a", "share": 0.5}, {"label": "b", "share": 0.5, "candidates": 9}))
YAML = "name: e\narms:\n  - {label: a, share: 0.5}\n  - {label: b, share: 0.5, candidates: 9}\n"


def answer(number, user, time, items, arm="a", experiment="e", propensity=0.5, offset=0):
    detail = {"experiment": experiment, "arm": arm, "propensity": propensity, "k": 10, "offset": offset}
    return Answer(f"r{number}", user, time, "v1", tuple(items), detail)


def event(number, user, item, time):
    return Event(f"e{number}", user, item, time)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(file, monkeypatch):
    """Return a store that is read in many parts."""
    monkeypatch.setattr(sql, "ANSWERS_AT_ONCE", 2)
    monkeypatch.setattr(sql, "EVENTS_AT_ONCE", 2)
    store = SqlStore(sqlite_url(file))
    yield store
    store.close()


def fill(store):
    """Log answers with the rewards 1, 2, 0 to user u, 0 and 1 to v, 1 to w."""
    store.add_answers(
        [
            answer(0, "u", 100, "xyz"),
            answer(1, "u", 200, "xy"),
            answer(2, "u", 300, "q"),
            answer(3, "v", 100, "xy", "b"),
            answer(4, "v", 250, "z", "b"),
            answer(5, "w", 100, "p"),
            Answer("plain", "u", 250, "v1", ("x", "y"), {"offset": 0}),
            answer(6, "u", 250, "x", experiment="another"),
        ]
    )
    store.add_events(
        [
            event(0, "u", "z", 150),  # counts for r0
            event(1, "u", "x", 200),  # for r1, which is of the same second, and not for r0
            event(2, "u", "x", 210),  # the same item of r1 again
            event(3, "u", "y", 299),  # for r1
            event(4, "u", "q", 299),  # before r2
            event(5, "u", "q", 401),  # too late for r2
            event(6, "v", "x", 99),  # before r3
            event(7, "v", "p", 120),  # an item that another user was shown
            event(8, "v", "z", 350),  # the last second for r4
            event(9, "w", "p", 101),  # for r5
            event(10, "somebody", "x", 101),
            event(11, "u", "elsewhere", 1),
            event(12, "u", "x", 2),
        ]
    )


def test_an_event_counts_for_the_latest_answer_that_showed_its_item(store):
    fill(store)
    log = rewards.log(store, EXPERIMENT, within=100)
    assert len(log) == 6
    ids = {"u": (100, 200, 300), "v": (100, 250), "w": (100,)}
    answers = rewards.read_answers(store, EXPERIMENT)
    users = answers.users.to_pylist()
    by_key = {(users[u], t): r for u, t, r in zip(log.user, answers.time, log.reward, strict=True)}
    assert by_key == dict(
        zip([(user, time) for user in ids for time in ids[user]], [1.0, 2.0, 0.0, 0.0, 1.0, 1.0], strict=True)
    )
    events = rewards.read_events(store, answers, 100)
    assert dict(zip(users, events.before.tolist(), strict=True)) == {"u": 2, "v": 1, "w": 0}


def test_rewards_are_those_of_a_plain_loop():
    chance = np.random.default_rng(1)
    n, lengths = 300, chance.integers(0, 6, 300)
    answer_of, time = np.repeat(np.arange(n), lengths), np.sort(chance.integers(0, 500, n))
    item = np.concatenate([chance.permutation(12)[:length] for length in lengths])
    answers = rewards.Answers(
        users=range(8), items=range(12), user=chance.integers(0, 8, n), arm=np.zeros(n, int), time=time,
        propensity=np.ones(n), asked=np.zeros((n, 2)), answer=answer_of, item=item,
    )  # fmt: skip
    events = rewards.Events(*chance.integers(0, [[8], [12], [600]], (3, 900)), before=np.zeros(8))
    found = set()
    for user, which, when in zip(events.user, events.item, events.time, strict=True):
        showed = [a for a, i in zip(answer_of, item, strict=True) if i == which and answers.user[a] == user]
        before = [a for a in showed if time[a] <= when]
        if before and when - time[before[-1]] <= 40:
            found.add((before[-1], which))
    expected = np.bincount([a for a, _ in found], minlength=n)
    assert expected.sum() > 100
    assert rewards.rewards(answers, events, 40).tolist() == expected.tolist()


def test_the_report_of_the_log(store, file, tmp_path, capsys):
    fill(store)
    (tmp_path / "e.yaml").write_text(YAML)
    command = ["experiment", "report", "--store", f"sqlite:{file}", "--experiment", str(tmp_path / "e.yaml")]
    assert cli.main([*command, "--reward-within", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["arms"]
    assert (found["experiment"], found["champion"], found["reward_within_s"]) == ("e", "a", 100)
    assert [(each["arm"], each["answers"], each["users"]) for each in found["arms"]] == [("a", 4, 2), ("b", 2, 1)]
    assert first["reward"]["mean"]["value"] == pytest.approx(4 / 4)
    assert second["reward"]["mean"]["value"] == second["reward"]["snips"]["value"] == pytest.approx(1 / 2)
    assert first["reward"]["ips"]["value"] == pytest.approx(2 * 4 / 6)
    assert second["reward"]["ips"]["value"] == pytest.approx(2 * 1 / 6)
    assert second["difference"]["ips"]["value"] == pytest.approx(2 * (1 - 4) / 6)
    assert first["difference"] == {}
    # 6 times what each user contributes to the error: 2 * 3 - 3 * 4/3 for u, -2 * 4/3 for v and 2 - 4/3 for w
    error = np.sqrt(3 / 2 * (2**2 + (8 / 3) ** 2 + (2 / 3) ** 2)) / 6
    bounds = [first["reward"]["ips"][name] for name in ("low", "high")]
    assert bounds == pytest.approx([4 / 3 - 1.959964 * error, 4 / 3 + 1.959964 * error])
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    for words in ("champion a", "rewards within 86,400 s", "b - champion", "SNIPS"):
        assert words in printed


def test_a_split_unlike_the_shares_is_told(store, file, tmp_path, capsys):
    store.add_answers([answer(n, f"u{n}", n, "x", "a" if n % 10 else "b") for n in range(200)])
    (tmp_path / "e.yaml").write_text(YAML)
    assert (
        cli.main(["experiment", "report", "--store", f"sqlite:{file}", "--experiment", str(tmp_path / "e.yaml")]) == 0
    )
    assert "The users of a, b are too many or too few for the shares" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arm": "c"}, "answer r0: arm of the experiment e should be one of a, b; found 'c'"),
        ({"propensity": 0.0}, "answer r0: propensity of the experiment e should be above 0 and at most 1; found 0.0"),
        ({"propensity": None}, "found None"),
        ({"experiment": "f"}, "experiment e: has no logged answers"),
    ],
)
def test_a_log_that_cannot_be_used_is_named(store, wrong, message):
    store.add_answers([answer(0, "u", 1, "x", **wrong)])
    with pytest.raises(DataError) as error:
        rewards.log(store, EXPERIMENT)
    assert message in str(error.value)


def test_wrong_uses_are_told(tmp_path, capsys):
    (tmp_path / "e.yaml").write_text(YAML)
    report = ["experiment", "report", "--experiment", str(tmp_path / "e.yaml")]
    for arguments, message in (
        (report, "--store: is missing"),
        ([*report, "--store", f"sqlite:{tmp_path}/none.sqlite"], "none.sqlite: no such file"),
        ([*report, "--reward-within", "-1"], "--reward-within: should be at least 0"),
        (["experiment", "impressions", "--to", str(tmp_path)], "is a folder"),
    ):
        assert cli.main(arguments) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "none.sqlite").exists()


# ---- impressions ----


def test_each_shown_item_is_a_row(store, file, tmp_path, capsys):
    store.add_answers([answer(0, "u", 100, "xyz", offset=10), answer(1, "v", 200, "x", "b"), answer(2, "v", 300, "")])
    store.add_answers([Answer("plain", "w", 50, "v0", ("y",))])
    to = tmp_path / "shown.parquet"
    assert cli.main(["experiment", "impressions", "--store", f"sqlite:{file}", "--to", str(to)]) == 0
    assert "5 impressions in " in capsys.readouterr().out
    table = pq.read_table(to)
    assert table.schema == impressions.SCHEMA
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [
        ("w", "y", 50, 1, "v0", None, None, None),
        ("u", "x", 100, 11, "v1", "e", "a", 0.5),
        ("u", "y", 100, 12, "v1", "e", "a", 0.5),
        ("u", "z", 100, 13, "v1", "e", "a", 0.5),
        ("v", "x", 200, 1, "v1", "e", "b", 0.5),
    ]
    assert impressions.write(store, to, since=200) == 1
    assert impressions.write(store, to, since=1000) == len(pq.read_table(to)) == 0


def test_a_file_is_replaced_as_a_whole(store, tmp_path):
    class Failing:
        def answer_parts(self, since):
            yield from store.answer_parts(since)
            raise OSError("gone")

    store.add_answers([answer(0, "u", 100, "xyz")])
    to = tmp_path / "shown.parquet"
    impressions.write(store, to)
    before = to.read_bytes()
    with pytest.raises(OSError, match="gone"):
        impressions.write(Failing(), to)
    assert to.read_bytes() == before
    assert [each.name for each in tmp_path.glob("*parquet*")] == ["shown.parquet"]


def test_the_table_is_one_that_a_run_reads(store, file, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    (data / "events.csv").write_text("user_id,item_id,timestamp\n1,x,100\n2,y,200\n1,y,300\n")
    (data / "users.csv").write_text("user_id\n1\n2\n")
    (data / "items.csv").write_text("item_id\nx\ny\n")
    (tmp_path / "shop.yaml").write_text(
        f"name: shop\nrun_folder: {tmp_path}/runs\ndata:\n  root: data\n  interactions: {{path: events.csv}}\n"
        "  users: {path: users.csv}\n  items: {path: items.csv}\n  impressions: {path: shown.parquet}\n"
    )
    check = ["data", "check", str(tmp_path / "shop.yaml"), "--json"]
    store.add_answers([answer(0, "1", 100, "xy"), answer(1, "2", 100, "y", "b")])
    impressions.write(store, data / "shown.parquet")
    assert cli.main(check) == 0
    [table] = [each for each in json.loads(capsys.readouterr().out)["tables"] if each["table"] == "impressions"]
    assert (table["rows"], table["problems"]) == (3, [])
    store.add_answers([answer(2, "nobody", 100, "xy")])
    impressions.write(store, data / "shown.parquet")
    assert cli.main(check) == 1
    assert "'nobody' is not in the table users" in capsys.readouterr().out
