"""The compiled DAG of a search: its nodes before the Tuner equal those of a run, so that both share one cache."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import pytest
from tfx.dsl.compiler.compiler import Compiler

from pipeline import config
from pipeline.dag import tuning, wiring
from trainer.tuning.space import Choices


@pytest.fixture
def file(root, tmp_path):
    path = tmp_path / "dag.yaml"
    recorded = root / "tests" / "golden" / "dag.yaml"
    path.write_text(recorded.read_text().replace("RUNS", str(tmp_path / "runs")))
    return path


def compiled(pipeline):
    """Return node → its type, inputs and parameters, without its downstream nodes, which differ between the DAGs."""
    found = {}
    for each in Compiler().compile(pipeline).nodes:
        node = each.pipeline_node
        del node.downstream_nodes[:]
        found[node.node_info.id] = node
    return found


@pytest.mark.parametrize(("step", "last"), [("retrieval", "Transform"), ("ranking", "CandidateGenerator")])
def test_what_comes_before_the_tuner_is_a_runs(file, step, last):
    loaded = config.load(file)
    search = tuning.search_for(loaded, step, {"dim": Choices(choices=(8, 16))}, trials=3, minutes=None)
    run, found = compiled(wiring.build(loaded, file)), compiled(tuning.build(loaded, file, search))
    *before, tuner = found
    assert tuner == search.node == f"{step.title()}Tuner"
    assert before[-1] == last
    assert before == [node for node in run if node in before]
    for node in before:
        assert found[node] == run[node], node
    assert set(found[tuner].upstream_nodes) == {"Transform", "EventJoiner" if step == "retrieval" else last}


def test_the_arguments_of_the_tuner_are_part_of_the_cache_key(file):
    loaded = config.load(file)

    def settings_with(**changes):
        values = {"space": {"dim": Choices(choices=(8, 16))}, "trials": 3, "minutes": None} | changes
        return tuning.tuner_settings(loaded, tuning.search_for(loaded, "retrieval", **values), None)

    assert settings_with() == settings_with()
    assert settings_with() != settings_with(trials=4)
    assert settings_with() != settings_with(minutes=1.0)
    assert settings_with() != settings_with(space={"dim": Choices(choices=(8, 32))})
