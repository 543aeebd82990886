"""Items that are similar to one that was added after the model was fitted, by a fusion."""

import numpy as np
import pytest

from serving.retrieval.retrieval import Retrieval
from serving.retrieval.similar import Similar
from trainer.retrieval import plan

N, COUNT = 6, 2
VECTORS = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0], [0, -1]], np.float32)
ADDED = np.array([[9.5, 0.0], [0.5, 10.0]], np.float32)


@pytest.fixture
def compared():
    """Return the similarities by a fusion of a model of features and one of events, with two added items."""
    fusion = plan.Fusion(
        weights={"content": 1.0, "knn": 3.0}, by_features=("content",), rank_constant=60.0, depth=8, cold_share=0.5
    )
    parts = {"content": plan.Embedding(), "knn": plan.Neighbours(half_life=None, distinct=True)}
    tables = {
        "embeddings:content": VECTORS,
        "neighbours:knn": np.array([[5], [4], [3], [2], [1], [0]], np.int32),
        "weights:knn": np.ones((N, 1), np.float32),
        "popularity:knn": np.linspace(0, 1e-3, N, dtype=np.float32),
        "received": np.zeros(N, np.float32),
        "share": np.ones(N, np.float32),
        "ties": np.linspace(0, 1e-6, N, dtype=np.float32),
    }
    tables = {plan.named(*key.split(":")) if ":" in key else key: values for key, values in tables.items()}
    retrieval = Retrieval(plan.RetrievalPlan(parts=parts, fusion=fusion, history_length=5), tables)
    added = {"content": ADDED}
    return Similar(retrieval, tables).with_items(retrieval.with_items(N, COUNT, added), N, COUNT, added)


def test_an_added_item_is_compared_by_its_features_alone(compared):
    rows, scores = compared.best(N, 8)
    assert rows.tolist()[:3] == [0, 1, 3]
    assert N not in rows
    assert (np.diff(scores) <= 0).all()
    assert compared.best(N + 1, 8)[0].tolist()[:2] == [2, 3]


def test_an_item_of_the_model_has_added_ones_beside_those_of_its_neighbours(compared):
    rows, scores = compared.best(0, 8)
    order = rows.tolist()
    assert sorted(order) == [1, 2, 3, 4, 5, 6, 7]
    assert order.index(N) < order.index(N + 1)
    assert order.index(5) < order.index(N), "the neighbour has the heavier member"
    # The second of the first member, after the item itself; its weight is 1 and half of 3, since it is cold.
    assert scores[order.index(N)] == pytest.approx(2.5 / 62)
