"""Warm start in runs of the DAG: a first delivery, a grown one, and the grown one again."""

import json

import pytest
import shop as example

from core.files import read_json

MODELS = {
    "retrieval": {"model": "two_tower", "warm_start": True, "candidates": 20, "params": {"dim": 8, "epochs": 2}},
    "ranking": {"model": "logistic"},
    "evaluation": {"at": [5, 20], "baselines": ["popularity"], "rules": [{"metric": "ndcg@5", "at_least": 0}]},
}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Return the folder of the nodes, and what the runs on the second delivery told, node → state."""
    folder = tmp_path_factory.mktemp("grown")
    example.make(folder)
    config = example.config(folder, "grown", run_folder="runs", **MODELS)
    file = folder / "data" / "purchases.csv"
    lines = file.read_text().splitlines(keepends=True)  # in the order of time
    file.write_text("".join(lines[: len(lines) // 5]))
    example.printed("run", config, "--json")
    file.write_text("".join(lines))
    told = [json.loads(example.printed("run", config, "--json", "--until", "RetrievalTrainer")) for _ in range(2)]
    return folder / "runs" / "pipeline", *({each["node"]: each["state"] for each in run["nodes"]} for run in told)


def outputs(nodes, node, key):
    """Return the outputs of a node, oldest first."""
    return sorted((nodes / node / key).iterdir(), key=lambda folder: int(folder.name))


def test_a_grown_delivery_begins_with_the_release_of_the_first(grown):
    nodes, *_ = grown
    cold, warm = (read_json(each / "training.json") for each in outputs(nodes, "RetrievalTrainer", "model_run"))
    assert cold["warm_start"] == "there is no release to begin with"
    assert warm["warm_start"] == "warm"
    before, after = (
        (each / "Format-Serving" / "assets" / "user_id_vocabulary").read_bytes()
        for each in outputs(nodes, "RetrievalTrainer", "model")
    )
    assert after.startswith(before)
    assert len(after) > len(before)


def test_an_unchanged_run_comes_from_the_cache(grown):
    _, second, again = grown
    assert second["RetrievalTrainer"] == second["Transform"] == "done"
    assert {again[node] for node in ("DeliveryInForce", "Transform", "RetrievalTrainer")} == {"cached"}
