"""The whole DAG, run from the command line: executed and cached nodes, the evaluation, and the release."""

import json
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from facts import lacking

from serving.users import ReleaseUsers

NODES = [
    "InteractionGen", "ItemGen", "UserGen", "ImpressionGen",
    "InteractionStatisticsGen", "ItemStatisticsGen", "UserStatisticsGen", "ImpressionStatisticsGen",
    "InteractionSchemaGen", "ItemSchemaGen", "UserSchemaGen", "ImpressionSchemaGen",
    "InteractionValidator", "ItemValidator", "UserValidator", "ImpressionValidator",
    "DriftDetector",
    "EventJoiner", "Transform", "RetrievalTrainer", "CandidateIndex", "CandidateGenerator", "RankingTrainer",
    "RetrievalEvaluator", "RankingEvaluator", "TwoStepEvaluator",
    "RetrievalPusher", "RankingPusher", "ReleasePusher", "DeliveryInForce", "RetrievalInForce", "PairInForce",
]  # fmt: skip
OTHER_RANKER = {"params": {"learning_rate": 0.00033}}
PUBLISHING = {"RetrievalPusher", "RankingPusher", "ReleasePusher"}
METRICS = {"precision", "recall", "f1", "hit_rate", "mrr", "map", "ndcg"}


@pytest.fixture(scope="module")
def second(twostep, finished):
    """Return a second run of the same configuration."""
    before = finished.current()
    return before, twostep.fork("run", "slice.yaml", folder=finished.folder)


@pytest.fixture(scope="module")
def changed(twostep, finished, second):
    """Return a run in which only the ranker is another one."""
    before = finished.current()
    config = finished.config("changed.yaml", ranking=OTHER_RANKER)
    return before, twostep.fork("run", config, folder=finished.folder)


@pytest.fixture(scope="module")
def held_back(twostep, finished, changed):
    """Return a run with the same ranker as `changed`, more diversity, and a rule that no recommender passes."""
    before = finished.current()
    config = finished.config(
        "held.yaml",
        ranking=OTHER_RANKER,
        reranking={"mmr": {"weight": 0.5}},
        evaluation={"rules": [{"metric": "ndcg@10", "at_least": 0.99}]},
    )
    return before, twostep.fork("run", config, folder=finished.folder)


def evaluation(recommender, version):
    return json.loads((recommender.releases / version / "evaluation.json").read_text())


def last_evaluation(recommender):
    """Return the evaluation of the latest run, whether or not it made a release."""
    runs = (recommender.runs / "pipeline/TwoStepEvaluator/evaluation").iterdir()
    return json.loads((max(runs, key=lambda run: int(run.name)) / "evaluation.json").read_text())


# ---- executed and cached nodes ----


def test_every_node_is_done(first, finished):
    assert first.nodes == dict.fromkeys(NODES, "done")
    assert first.err == ""
    assert f"released    {finished.current()}   (in force)" in first.out
    assert (finished.runs / "lineage.svg").is_file()


def test_a_run_leaves_nothing_in_the_temporary_folder(first, twostep):
    assert list(twostep.temporary.iterdir()) == []


def test_the_same_again_comes_from_cache(second, finished):
    before, done = second
    assert (done.code, done.err) == (0, "")
    assert done.nodes == dict.fromkeys(NODES, "cached")
    assert done.out.count(f"released    {before}   (in force)") == 1
    folders = [path.name for path in finished.releases.iterdir() if path.is_dir()]
    assert folders.count(before) == 1


def test_another_ranker_runs_what_depends_on_it_and_nothing_else(changed, finished):
    before, done = changed
    assert done.code == 0, done.out + done.err
    assert done.named("done") == {"RankingTrainer", "RankingEvaluator", "PairInForce", "TwoStepEvaluator", *PUBLISHING}
    assert done.named("cached") == set(NODES) - done.named("done")
    assert finished.current() != before
    assert f"released    {finished.current()}   (in force)" in done.out


def test_the_release_in_force_is_compared_with(changed, finished):
    before, _ = changed
    assert "in_force" not in evaluation(finished, before)["steps"]["two_step"]["models"]
    now = evaluation(finished, finished.current())["steps"]["two_step"]
    earlier = evaluation(finished, before)["steps"]["two_step"]
    assert "in_force" in now["baselines"]
    # The earlier release, as a baseline, has the same metrics as in its own run.
    assert now["models"]["in_force"]["ndcg@10"]["mean"] == pytest.approx(
        earlier["models"]["two_step"]["ndcg@10"]["mean"]
    )


def test_a_gate_holds_back_the_release(held_back, finished):
    before, done = held_back
    assert done.code == 3
    value = last_evaluation(finished)["headline"]["two_step"]["ndcg@10"]
    assert lacking(done.err, f"twostep: no release … two_step ndcg@10 … {value:.6g} … 0.99") == []
    assert done.err.count("\n") == 1
    assert done.named("done") == {"TwoStepEvaluator", *PUBLISHING}
    assert finished.current() == before
    assert "released" not in done.out
    assert "report " in done.out


def test_the_ranker_is_compared_with_the_retrievers_order_under_the_same_re_ranking(held_back, finished):
    old, new = evaluation(finished, held_back[0]), last_evaluation(finished)
    diverse = "intra_list_diversity@10"
    for step, name, more in (("retrieval", "retrieval", False), ("two_step", "retrieval", True)):
        plain, now = (each["steps"][step]["models"][name][diverse]["mean"] for each in (old, new))
        assert (now > 1.1 * plain) == more, step


# ---- the evaluation ----


def test_both_steps_stand_beside_every_baseline(finished):
    [version] = sorted(path.name for path in finished.releases.iterdir() if path.is_dir())[:1]
    steps = evaluation(finished, version)["steps"]
    baselines = {"popularity", "item_knn"}
    assert set(steps["retrieval"]["models"]) == {"retrieval", *baselines}
    assert set(steps["two_step"]["models"]) == {"two_step", "retrieval", *baselines}
    for step in steps.values():
        assert set(step["differences"]) == set(step["models"]) - {step["subject"]}
        assert step["queries_with_relevant"] == 150
        for measured in step["models"].values():
            assert {f"{name}@{k}" for name in METRICS for k in (10, 20, 50)} <= set(measured)
            for estimate in (measured["ndcg@10"], measured["recall@50"]):
                assert 0 <= estimate["low"] <= estimate["mean"] <= estimate["high"] <= 1
    # The ranker only orders the 50 candidates, so recall@50 is that of the retriever.
    both = steps["two_step"]["models"]
    assert both["two_step"]["recall@50"] == both["retrieval"]["recall@50"]


# ---- the release ----


def test_the_release_verifies_and_damage_is_found(twostep, finished):
    done = twostep.run("release", "verify", "slice.yaml", folder=finished.folder)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"release {finished.current()} is intact")
    model = finished.releases / finished.current() / "ranking" / "saved_model.pb"
    whole = model.read_bytes()
    try:
        model.write_bytes(whole[:-1] + b"?")
        done = twostep.run("release", "verify", "slice.yaml", folder=finished.folder)
        refused = twostep.fork("recommend", "slice.yaml", "--user", "1", folder=finished.folder)
    finally:
        model.write_bytes(whole)
    for each in (done, refused):
        assert each.code == 1
        assert f"{model} is damaged" in each.err


def test_the_pushed_models_lie_as_tensorflow_serving_expects_them(finished):
    for step in ("retrieval", "ranking"):
        versions = sorted((finished.runs / "serving" / step).iterdir())
        assert versions
        assert all(version.name.isdecimal() and (version / "saved_model.pb").is_file() for version in versions)


# A script that calls the models of a release without the project's code: raw values in, a list out.
BY_HAND = """
import json, os, sys, time
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np, pyarrow as pa, tensorflow as tf
release, given = sys.argv[1], json.loads(sys.argv[2])
retrieval, ranking = (tf.saved_model.load(f"{release}/{step}") for step in ("retrieval", "ranking"))
items = pa.ipc.open_file(f"{release}/catalogue.arrow").read_all().to_pylist()
items = {item["item_id"]: item for item in items}
user = {
    "user_id": tf.constant([given["user_id"]]), "history": tf.constant([given["history"]]),
    "age": tf.constant([float(given["age"])]), "gender": tf.constant([given["gender"]]),
    "occupation": tf.constant([given["occupation"]]),
}
found = retrieval.signatures["retrieve"](**user, exclude=tf.constant([given["seen"]]), k=tf.constant(50))
ids = [value.decode() for value in found["item_id"].numpy()[0]]
widest = max(len(items[each]["genres"]) for each in ids)
lists = {
    "query_time": tf.constant([int(time.time())], tf.int64),
    "history_time": tf.constant([given["history_time"]], tf.int64),
    "item_id": tf.constant([ids]),
    "year": tf.constant([[float(items[each]["year"] or "nan") for each in ids]]),
    "released": tf.constant(np.array([[items[each]["released"] for each in ids]], float), tf.float32),
    "genres": tf.constant([[(items[each]["genres"] + [""] * widest)[:widest] for each in ids]]),
    "retrieval_score": found["score"],
    "retrieval_rank": tf.constant([np.arange(len(ids), dtype=np.float32)]),
}
scores = ranking.signatures["rank"](**user, **lists)["score"].numpy()[0]
ours = sorted({name.partition(".")[0] for name in sys.modules} & set(given["ours"]))
best = np.argsort(-scores, kind="stable")[:10]
print(json.dumps({"ours": ours, "list": [[ids[place], float(scores[place])] for place in best]}))
"""


def test_the_released_models_answer_without_our_code_as_the_command_does(twostep, root, finished, tmp_path):
    events = pq.read_table(finished.folder / "data" / "interactions.parquet").to_pandas()
    user = pq.read_table(finished.folder / "data" / "users.parquet").slice(0, 1).to_pylist()[0]
    events = events[events.user_id == user["user_id"]]
    folder = finished.releases / finished.current()
    known = ReleaseUsers(folder / "users").get(user["user_id"])
    assert sorted(known.seen) == sorted(events.item_id)
    when = dict(zip(events.item_id, events.timestamp, strict=True))
    assert known.history_time == [when[item] for item in known.history] == sorted(events.timestamp)[-50:]
    ours = [path.parent.name for path in root.glob("*/__init__.py")]
    given = {**user, "history": known.history, "history_time": known.history_time, "seen": known.seen, "ours": ours}
    done = subprocess.run(
        [sys.executable, "-I", "-c", BY_HAND, str(folder), json.dumps(given)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    by_hand = json.loads(done.stdout)
    assert ours
    assert by_hand["ours"] == []

    answer = twostep.run("recommend", "slice.yaml", "--user", user["user_id"], "--json", folder=finished.folder)
    assert (answer.code, answer.err) == (0, "")
    shown = json.loads(answer.out)
    assert (shown["release"], shown["user"], shown["known"]) == (finished.current(), user["user_id"], True)
    shown = shown["items"]
    assert all(0 < each["probability"] < 1 and 1 <= each["retrieval_rank"] <= 50 for each in shown)
    assert [each["item_id"] for each in shown] == [item for item, _ in by_hand["list"]]
    # The time of the query is an input of the ranker and differs by some seconds, so scores may differ slightly.
    assert [each["score"] for each in shown] == pytest.approx([score for _, score in by_hand["list"]], abs=1e-3)
    items = pq.read_table(finished.folder / "data" / "items.parquet").to_pylist()
    titles = {item["item_id"]: item["title"] for item in items}
    assert [each["rank"] for each in shown] == list(range(1, 11))
    assert [each["title"] for each in shown] == [titles[each["item_id"]] for each in shown]
    assert not set(known.seen) & {each["item_id"] for each in shown}


def test_a_copied_release_answers_without_configuration_and_metadata(twostep, finished, tmp_path):
    user = pq.read_table(finished.folder / "data" / "users.parquet").slice(3, 1)["user_id"].to_pylist()[0]
    shutil.copytree(finished.releases / finished.current(), tmp_path / "copy")
    known = twostep.fork("recommend", "slice.yaml", "--user", user, "--json", folder=finished.folder)
    copied = twostep.fork("recommend", "copy", "--user", user, "--json", folder=tmp_path)
    of_folder = twostep.fork("recommend", finished.releases, "--user", user, "--json", folder=tmp_path)
    assert (copied.code, copied.err) == (of_folder.code, of_folder.err) == (0, "")
    expected = json.loads(known.out)
    assert [each["item_id"] for each in json.loads(copied.out)["items"]] == [
        each["item_id"] for each in expected["items"]
    ]
    assert json.loads(of_folder.out)["items"][0]["item_id"] == expected["items"][0]["item_id"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


# ---- recommendations ----


def test_an_unknown_user_gets_an_answer(twostep, finished):
    done = twostep.fork("recommend", "slice.yaml", "--user", "nobody", "-k", "7", "--json", folder=finished.folder)
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    assert answer["known"] is False
    assert len({each["item_id"] for each in answer["items"]}) == 7
    with_history = twostep.fork(
        "recommend",
        "slice.yaml",
        "--user",
        "nobody",
        "--history",
        "50,181,no such film",
        "-k",
        "7",
        "--json",
        folder=finished.folder,
    )
    answer = json.loads(with_history.out)
    assert answer["unknown_items"] == ["no such film"]
    assert {each["item_id"] for each in answer["items"]}.isdisjoint({"50", "181"})
    as_text = twostep.fork("recommend", "slice.yaml", "--user", "nobody", folder=finished.folder)
    assert lacking(as_text.out, "user nobody … release") == []
    assert with_history.out != done.out


def test_more_than_there_is_to_choose_from_is_wrong_use(twostep, finished):
    done = twostep.fork("recommend", "slice.yaml", "--user", "1", "-k", "51", folder=finished.folder)
    assert (done.code, done.out) == (2, "")
    assert lacking(done.err, "twostep: -k … 1 to 50 … found 51") == []
    size = pq.read_metadata(finished.folder / "data" / "items.parquet").num_rows
    done = twostep.fork("similar", "slice.yaml", "--item", "50", "-k", size + 1, folder=finished.folder)
    assert (done.code, done.out) == (2, "")
    assert lacking(done.err, f"twostep: -k … 1 to {size:,} … found {size + 1}") == []


def test_similar_items(twostep, finished):
    done = twostep.fork("similar", "slice.yaml", "--item", "50", "-k", "5", "--json", folder=finished.folder)
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)["items"]
    assert len({each["item_id"] for each in found} - {"50"}) == 5
    assert all(each["title"] for each in found)
    assert [each["score"] for each in found] == sorted((each["score"] for each in found), reverse=True)
    done = twostep.fork("similar", "slice.yaml", "--item", "no such", folder=finished.folder)
    assert (done.code, done.out) == (2, "")
    assert lacking(done.err, "twostep: … 'no such' … catalogue") == []
