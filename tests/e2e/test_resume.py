"""Resuming a stopped run: it continues at the node that was stopped, and earlier nodes come from the cache."""

import json
import signal

import pytest

from pipeline.config import load
from pipeline.dag.plan import needed_by

# Node in which a run is stopped → the signal, in the order of the DAG. SIGKILL stands for a crash or a kill for memory,
# SIGTERM for a stopped container, which a node notices at its next report; so that node has to report after the signal.
STOPS = {
    "InteractionStatisticsGen": signal.SIGKILL,
    "RankingTrainer": signal.SIGTERM,
    "TwoStepEvaluator": signal.SIGKILL,
}


@pytest.fixture(scope="module")
def runs(twostep, make_recommender):
    """Return node → the run stopped in this node, the releases before the last run, the last run, and the folder."""
    small = make_recommender(60)
    config = small.config(
        retrieval={"model": "popularity", "params": None},
        ranking={"params": {"epochs": 25, "patience": 25}},
        evaluation={"rules": []},
    )

    def in_executor(node):
        """Return a function that returns whether the node's executor has started; TFX then makes a folder for it."""
        return lambda: any((small.runs / "pipeline" / node / ".system" / "executor_execution").glob("*"))

    stopped = {
        node: twostep.start("run", config, folder=small.folder).signal_when(number, in_executor(node))
        for node, number in STOPS.items()
    }
    between = list(small.releases.glob("*")) if small.releases.exists() else []
    return stopped, between, twostep.fork("run", config, folder=small.folder), small


def test_each_run_ends_by_its_signal(runs):
    stopped, *_ = runs
    for node, number in STOPS.items():
        done = stopped[node]
        assert node not in done.nodes
        assert done.err == ""
        if number == signal.SIGTERM:
            assert done.code == 128 + signal.SIGTERM
            assert "stopped" in done.out.splitlines()[-1]
        else:
            assert done.code == -signal.SIGKILL


def test_each_run_goes_on_where_the_one_before_was_stopped(runs):
    stopped, _, last, small = runs
    assert last.code == 0, last.out + last.err
    from pipeline.dag import wiring

    upstream = wiring.upstream(load(small.folder / "slice.yaml"), small.folder / "slice.yaml")
    before: set[str] = set()
    for done, node in zip([*stopped.values(), last], [*STOPS, None], strict=True):
        if node:  # nodes that neither need the stopped node nor are needed by it may have ended
            assert needed_by(node, upstream) - {node} <= set(done.nodes)
            assert not any(node in needed_by(each, upstream) for each in done.nodes)
        else:
            assert set(done.nodes) == set(upstream)
        assert done.named("cached") == set(done.nodes) & before
        assert done.named("done") == set(done.nodes) - before
        before |= set(done.nodes)
    assert "TwoStepEvaluator" in last.named("done")
    assert "RetrievalTrainer" in last.named("cached")


def test_nothing_was_released_before_the_end_and_then_one_whole_release(runs, twostep):
    _, between, last, small = runs
    assert between == []
    listed = json.loads(twostep.run("release", "list", small.releases, "--json", folder=small.folder).out)
    assert listed == {"current": small.current(), "versions": [small.current()]}
    assert f"released    {small.current()}   (in force)" in last.out
    assert twostep.run("release", "verify", small.releases, folder=small.folder).code == 0


def test_what_the_stopped_nodes_had_written_is_gone_when_the_run_has_gone_on(runs):
    *_, small = runs
    for node in STOPS:
        folders = [path for path in (small.runs / "pipeline" / node).glob("*/*") if path.name.isdecimal()]
        assert len({path.name for path in folders}) == 1, folders  # only the folder of the execution that succeeded
        system = small.runs / "pipeline" / node / ".system" / "executor_execution"
        assert {path.name for path in system.iterdir()} <= {path.name for path in folders}


def test_the_lineage_of_that_release_knows_no_stopped_run(runs, twostep):
    *_, small = runs
    found = json.loads(twostep.run("lineage", "slice.yaml", "--format", "json", folder=small.folder).out)
    nodes = [each["node"] for each in found["executions"]]
    assert len(nodes) == len(set(nodes))
    assert set(STOPS) <= set(nodes)
    assert {each["state"] for each in found["executions"]} == {"COMPLETE"}
