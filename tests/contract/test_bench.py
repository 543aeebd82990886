"""The benchmark results that are fast to compute, fitted and measured as `twostep bench` does."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import UsageError
from core.queries import Queries
from pipeline import cli
from pipeline.bench import measure
from pipeline.bench.protocol_data import ProtocolData
from pipeline.bench.protocols import PROTOCOLS

SEED = 42


@pytest.mark.usefixtures("movielens")
@pytest.mark.parametrize(
    ("model", "ndcg", "recall"),
    [("popularity", 0.0882, 0.3314), ("item_knn", 0.1378, 0.5238), ("ease", 0.1548, 0.5522), ("ials", 0.1569, 0.5547)],
)
def test_a_row_of_movielens_100k(model, ndcg, recall):
    row = measure.main("movielens-100k", model, {}, SEED)
    assert row["queries"] == 943
    assert row["metrics"]["ndcg@10"]["mean"] == pytest.approx(ndcg, abs=5e-4)
    assert row["metrics"]["recall@100"]["mean"] == pytest.approx(recall, abs=5e-4)
    assert row["metrics"]["ndcg@10"]["low"] < ndcg < row["metrics"]["ndcg@10"]["high"]


@pytest.mark.usefixtures("movielens")
def test_the_command_prints_ours_beside_the_published(tmp_path, capfd):
    output = tmp_path / "rows.json"
    assert cli.main(["bench", "movielens-100k", "--models", "popularity", "--output", str(output)]) == 0
    printed = capfd.readouterr().out
    assert "popularity (publ.)" in printed
    assert f"{json.loads(output.read_text())['rows'][0]['metrics']['ndcg@10']['mean']:.4f}" in printed


def test_a_given_split_keeps_the_eval_events_of_the_table_and_draws_no_others(tmp_path, monkeypatch):
    folder = tmp_path / "gowalla"
    folder.mkdir()
    n = 300
    events = {
        "user_id": [f"u{row % 20}" for row in range(n)],
        "item_id": [f"i{row}" for row in range(n)],
        "timestamp": list(range(n)),
        "split": ["train"] * (n - 3) + ["eval", "eval", "test"],
    }
    pq.write_table(pa.table(events), folder / "interactions.parquet")
    pq.write_table(pa.table({"user_id": [f"u{row}" for row in range(20)]}), folder / "users.parquet")
    pq.write_table(pa.table({"item_id": events["item_id"]}), folder / "items.parquet")
    monkeypatch.setenv("TWOSTEP_CACHE", str(tmp_path))
    assert [len(part) for part in ProtocolData(PROTOCOLS["gowalla"], SEED).parts] == [n - 3, 2, 1]


def test_an_unknown_protocol_is_refused(capfd):
    assert cli.main(["bench", "movielens-1b"]) == UsageError.exit_code
    assert "movielens-100k" in capfd.readouterr().err


def test_the_relevant_item_is_ranked_among_unseen_items():
    """User 0 has seen b, and a is relevant. User 1 has seen nothing, and c is relevant and second in the list."""
    ids = pa.array(["a", "b", "c", "d", "e"])
    seen = pa.array([["b"], []], pa.list_(pa.string()))
    query_set = Queries(
        pa.table({"user_id": ["0", "1"]}), np.zeros(2), seen, seen, np.arange(3), np.array([0, 2], np.int32)
    )
    rows = np.array([[3, 4, 0, 2, -1], [2, 1, 0, 4, 3]])
    values = measure.among_negatives(rows, query_set, ids, 3, SEED, ("hit_rate@2", "hit_rate@3", "ndcg@3"))
    np.testing.assert_allclose(values["hit_rate@2"], [0, 1])
    np.testing.assert_allclose(values["hit_rate@3"], [1, 1])
    np.testing.assert_allclose(values["ndcg@3"], [1 / np.log2(4), 1])


def test_metrics_are_those_of_the_protocol():
    rows, offsets, items = np.array([[0, 1], [2, -1]]), np.array([0, 1, 2]), np.array([1, 3])
    values = measure.per_query(rows, offsets, items, 4, ("recall@1", "ndcg@2"))
    np.testing.assert_allclose(values["recall@1"], [0, 0])
    np.testing.assert_allclose(values["ndcg@2"], [1 / np.log2(3), 0])
    assert set(PROTOCOLS["gowalla"].metrics) == {"recall@20", "ndcg@20"}
