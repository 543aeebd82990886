"""The options `--dry-run`, `--until` and `--json` of `twostep run`, on a recommender that has run once."""

import json
import re

import pytest


@pytest.fixture(scope="module")
def answered(twostep, finished):
    """Return the JSON output of a repeated run."""
    return twostep.fork("run", "slice.yaml", "--json", folder=finished.folder)


def test_json_is_the_only_thing_on_stdout_and_progress_goes_to_stderr(answered, finished):
    assert answered.code == 0, answered.err
    answer = json.loads(answered.out)
    assert answer["exit_code"] == 0
    assert answer["error"] is None
    assert answer["release"] == finished.current()
    assert answer["reason"] is None
    assert answer["run_folder"] == str(finished.runs)
    assert f"released    {finished.current()}" in answered.err
    assert "= EventJoiner" in answered.err


def test_json_has_every_node_and_what_the_gate_judged(answered):
    answer = json.loads(answered.out)
    states = {node["node"]: node["state"] for node in answer["nodes"]}
    assert states["EventJoiner"] == "cached"
    assert states["ReleasePusher"] in ("cached", "done")
    assert len(states) == 32
    assert all(node["seconds"] >= 0 for node in answer["nodes"])
    assert set(answer["metrics"]) == {"retrieval", "two_step"}
    estimate = answer["metrics"]["two_step"]["ndcg@10"]
    assert estimate["low"] <= estimate["mean"] <= estimate["high"]
    assert all(rule["passed"] for rule in answer["rules"])
    assert answer["rules"]


def test_json_of_a_run_that_is_held_back(twostep, finished):
    rules = [{"metric": "ndcg@10", "at_least": 0.99}]
    config = finished.config("held_json.yaml", evaluation={"rules": rules}, release={"folder": "held"})
    done = twostep.fork("run", config, "--json", folder=finished.folder)
    answer = json.loads(done.out)
    assert (done.code, answer["exit_code"]) == (3, 3)
    assert answer["release"] is None
    assert "0.99" in answer["reason"]
    assert [rule["passed"] for rule in answer["rules"] if "ndcg@10" in rule["rule"]] == [False]


def test_json_of_wrong_use(twostep, finished):
    config = finished.config("wrong_json.yaml", retrieval={"candidates": 10_000})
    done = twostep.fork("run", config, "--json", folder=finished.folder)
    answer = json.loads(done.out)
    assert (done.code, answer["exit_code"]) == (2, 2)
    assert "retrieval.candidates" in answer["error"]


def test_until_runs_no_further_and_releases_nothing(twostep, finished):
    before = finished.current()
    done = twostep.fork("run", "slice.yaml", "--until", "Transform", folder=finished.folder)
    assert (done.code, done.err) == (0, "")
    assert list(done.nodes)[-1] == "Transform"
    assert "RetrievalTrainer" not in done.nodes
    assert "ImpressionValidator" not in done.nodes  # Transform does not need it
    assert re.search("stopped .*Transform.*no release", done.out)
    assert "released" not in done.out
    assert finished.current() == before


def test_until_the_evaluator_shows_what_it_measured(twostep, finished):
    done = twostep.fork("run", "slice.yaml", "--until", "TwoStepEvaluator", folder=finished.folder)
    assert done.code == 0, done.err
    assert "NDCG@10" in done.out
    assert "passed      two_step ndcg@10 not below popularity" in done.out
    assert "released" not in done.out


def test_until_an_unknown_node_lists_those_there_are(twostep, finished):
    done = twostep.fork("run", "slice.yaml", "--until", "Transfrom", folder=finished.folder)
    assert done.code == 2
    assert "Did you mean `Transform`?" in done.err
    assert "ReleasePusher" in done.err


def test_a_dry_run_names_everything_and_writes_nothing(twostep, finished):
    config = finished.config("dry.yaml", run_folder=str(finished.folder / "dry"))
    done = twostep.fork("run", config, "--dry-run", folder=finished.folder)
    assert (done.code, done.err) == (0, "")
    lines = [line.strip() for line in done.out.splitlines()]
    assert lines[0].startswith("slice: 32 nodes ")
    assert f"run folder  {finished.folder / 'dry'}" in lines
    assert lines.index("EventJoiner") < lines.index("RetrievalTrainer") < lines.index("ReleasePusher")
    assert not (finished.folder / "dry").exists()


def test_a_dry_run_as_json_has_the_release_in_force(twostep, finished):
    done = twostep.fork("run", "slice.yaml", "--dry-run", "--json", "--until", "EventJoiner", folder=finished.folder)
    answer = json.loads(done.out)
    assert answer["release_in_force"] == finished.current()
    assert answer["nodes"][-1] == "EventJoiner"
    assert answer["tables"]["users"]["files"] == 1
