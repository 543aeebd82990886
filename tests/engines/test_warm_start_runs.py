"""Warm start in runs of the DAG: a first delivery, a grown one, and the grown one again."""

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from core.files import read_json

RETRIEVAL = {"warm_start": True, "candidates": 300, "params": {"dim": 8, "epochs": 2}}
RANKING = {"model": "logistic", "params": {"epochs": 1}, "negatives": None, "earlier_windows": 0}
EVALUATION = {"baselines": ["popularity"], "rules": [{"metric": "ndcg@10", "at_least": 0}], "resamples": 100}


@pytest.fixture(scope="module")
def grown(twostep, make_recommender):
    """Return the recommender, the runs on both deliveries, and the second run once more."""
    recommender = make_recommender(40)
    config = recommender.config(retrieval=RETRIEVAL, ranking=RANKING, evaluation=EVALUATION, data={"impressions": None})
    file = recommender.folder / "data" / "interactions.parquet"
    whole = pq.read_table(file)
    cut = pc.quantile(whole["timestamp"], 0.8)[0].as_py()
    pq.write_table(whole.filter(pc.less(whole["timestamp"], cut)), file)
    first = twostep.fork("run", config, folder=recommender.folder)
    assert first.code == 0, first.out + first.err
    pq.write_table(whole, file)
    later = [twostep.fork("run", config, "--until", "RetrievalTrainer", folder=recommender.folder) for _ in range(2)]
    assert [each.code for each in later] == [0, 0], later[0].out + later[0].err
    return recommender, first, *later


def outputs(recommender, node, key):
    """Return the outputs of a node, oldest first."""
    folders = (recommender.runs / "pipeline" / node / key).iterdir()
    return sorted(folders, key=lambda folder: int(folder.name))


def test_a_grown_delivery_begins_with_the_release_of_the_first(grown):
    recommender, *_ = grown
    cold, warm = (read_json(each / "training.json") for each in outputs(recommender, "RetrievalTrainer", "model_run"))
    assert cold["warm_start"] == "there is no release to begin with"
    assert warm["warm_start"] == "warm"
    before, after = (
        (each / "Format-Serving" / "assets" / "user_id_vocabulary").read_bytes()
        for each in outputs(recommender, "RetrievalTrainer", "model")
    )
    assert after.startswith(before)
    assert len(after) > len(before)


def test_an_unchanged_run_comes_from_the_cache(grown):
    *_, second, again = grown
    assert second.nodes["RetrievalTrainer"] == second.nodes["Transform"] == "done"
    assert again.named("cached") >= {"DeliveryInForce", "Transform", "RetrievalTrainer"}
