"""Accuracy against diversity: a point has the metrics of the lists at one weight; one has the configured weight."""

import numpy as np
import pyarrow as pa
import pytest

from components.recommender_evaluator import trade_off
from core import metrics, names
from core.queries import Queries
from serving.item_vectors import item_vectors
from serving.rerank.reranker import Reranker
from serving.rerank.settings import Reranking
from transform.features import Features

N_ITEMS, N_QUERIES, K = 30, 80, 5
RNG = np.random.default_rng(1)
FEATURES = Features.model_validate({"item": {"brand": "categorical", "price": "numeric"}}).item
CATALOGUE = pa.table(
    {
        names.ITEM_ID: [f"i{item}" for item in range(N_ITEMS)],
        "brand": RNG.choice(list("xyz"), N_ITEMS),
        "price": RNG.lognormal(size=N_ITEMS).astype(np.float32),
    }
)
VECTORS = item_vectors(CATALOGUE, FEATURES)
ROWS = np.stack([RNG.permutation(N_ITEMS)[:20] for _ in range(N_QUERIES)]).astype(np.int32)
SCORES = np.sort(RNG.normal(size=ROWS.shape))[:, ::-1]
EMPTY = pa.array([[]] * N_QUERIES, pa.list_(pa.string()))
RELEVANT = ROWS[:, [0, 3]].ravel()
QUERIES = Queries(
    pa.table({names.USER_ID: ["u"] * N_QUERIES}), np.zeros(N_QUERIES, np.int64), EMPTY, EMPTY,
    np.arange(N_QUERIES + 1) * 2, RELEVANT,
)  # fmt: skip


def found(config: dict, features=FEATURES, vectors=VECTORS) -> dict:
    settings = Reranking.model_validate(config)
    return trade_off.trade_off(settings, CATALOGUE, features, vectors, QUERIES, ROWS, SCORES, K, seed=0)


@pytest.mark.parametrize(
    ("config", "method", "served"),
    [({}, "mmr", 0.0), ({"mmr": {"weight": 0.25}}, "mmr", 0.25), ({"dpp": {}}, "dpp", None)],
)
def test_each_point_is_what_its_lists_are_worth(config, method, served):
    curve = found(config)
    assert (curve["method"], curve["k"], curve["queries"]) == (method, K, N_QUERIES)
    assert served is None or curve["served"] == served
    weights = [point["weight"] for point in curve["points"]]
    assert weights == sorted({*trade_off.WEIGHTS, curve["served"]})
    for point in curve["points"]:
        settings = Reranking.model_validate({method: {"weight": point["weight"]}})
        lists = Reranker(settings, CATALOGUE, FEATURES).rerank(QUERIES, ROWS, SCORES, K)[0]
        hits = metrics.hits(lists, QUERIES.relevant_offsets, RELEVANT, N_ITEMS)
        assert point["ndcg"] == pytest.approx(metrics.ndcg(hits, np.full(N_QUERIES, 2), K).mean())
        assert point["intra_list_diversity"] == pytest.approx(metrics.intra_list_diversity(lists, VECTORS, K).mean())
        assert point["catalogue_coverage"] == metrics.catalogue_coverage(lists, N_ITEMS, K)
    assert curve["points"][-1]["intra_list_diversity"] > curve["points"][0]["intra_list_diversity"]


def test_what_else_is_configured_stays_and_keeps_its_weight():
    curve = found({"calibration": {"column": "brand", "weight": 0.4}})
    assert max(point["weight"] for point in curve["points"]) <= 0.6
    capped = found({"caps": [{"column": "brand", "max_items": 2, "top_k": K}]})
    assert capped["points"][0]["intra_list_diversity"] > found({})["points"][0]["intra_list_diversity"]


def test_more_queries_than_it_takes_are_sampled_by_the_seed(monkeypatch):
    monkeypatch.setattr(trade_off, "MOST_QUERIES", 20)
    once = found({})
    assert once["queries"] == 20
    assert once == found({})


def test_items_without_features_have_no_diversity_to_pay_for():
    assert found({}, {}, item_vectors(CATALOGUE, {})) is None
