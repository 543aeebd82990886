"""Reasons for the items of a list."""

import numpy as np
import pytest
from small_engine import recommender

from serving.requests import Request
from serving.stores.sql import SqlStore, sqlite_url

FEATURES = {"user": {}, "item": {"genre": {"kind": "categorical"}}}


@pytest.fixture
def store(tmp_path):
    store = SqlStore(sqlite_url(tmp_path / "store.sqlite"))
    yield store
    store.close()


def listed(using, **request):
    found = using.explain(Request("known", 4, 100, **request))
    return {each.item: each for each in found.candidates if each.position}


def test_the_nearest_items_of_the_history_are_those_of_the_embeddings(tmp_path, store):
    using = recommender(tmp_path / "release", store)
    angles = np.arange(12) / 20
    plane = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32) * np.arange(1, 13)[:, None]
    using.engine.retriever.embeddings = {"first": plane, "second": plane[:, ::-1]}
    found = listed(using, history=("i1", "i99", "i11", "i4", "i4"))
    assert list(found) == ["i3", "i5", "i6", "i7"]
    near = {item: [(each.item, each.similarity) for each in own.nearest] for item, own in found.items()}
    assert [each for each, _ in near["i3"]] == ["i4", "i1"]
    assert [each for each, _ in near["i7"]] == ["i4", "i11"]
    assert [like for _, like in near["i3"]] == pytest.approx([np.cos(0.05), np.cos(0.1)], abs=1e-6)


def test_without_embeddings_they_are_those_of_the_features(tmp_path, store):
    using = recommender(tmp_path / "release", store, features=FEATURES)
    found = listed(using, history=("i11", "i10"))
    genres = {item: [(each.item, each.similarity) for each in own.nearest] for item, own in found.items()}
    assert genres["i5"] == [("i11", pytest.approx(1))]
    assert genres["i4"] == [("i10", pytest.approx(1))]
    assert all(each.nearest == () for each in listed(using, history=()).values())


def test_an_item_is_not_near_itself(tmp_path, store):
    using = recommender(tmp_path / "release", store, features=FEATURES)
    found = listed(using, history=("i5", "i1"), seen=True)
    assert [each.item for each in found["i5"].nearest] == ["i1"]


def test_each_rule_says_where_an_item_would_be_without_it(tmp_path, store):
    caps = {"caps": [{"column": "genre", "max_items": 1, "top_k": 2}]}
    using = recommender(tmp_path / "release", store, features=FEATURES, reranking=caps)
    found = listed(using, exclude=("i1", "i3", "i7"))
    assert {item: (each.position, each.without) for item, each in found.items()} == {
        "i8": (1, {"caps": 1}), "i5": (2, {"caps": 3}), "i6": (3, {"caps": 2}), "i4": (4, {"caps": 4}),
    }  # fmt: skip
    plain = recommender(tmp_path / "plain", store, features=FEATURES)
    assert {tuple(each.without) for each in listed(plain).values()} == {()}
