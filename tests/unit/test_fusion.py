"""Reciprocal rank fusion, compared with values computed by hand and with a loop over the lists of the members."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from facts import facts

from core.errors import ModelError
from core.queries import Queries
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.fusion import model as fusion
from trainer.retrieval.fusion.settings import FusionSettings
from trainer.retrieval.registry import MODELS
from trainer.retrieval.validation import Validation
from transform.features import Features

N_ITEMS = 15
MEMBERS = {"item_knn": {"neighbours": 5}, "user_knn": {"neighbours": 3}, "popularity": {}}
HISTORIES = np.array([["i1", "i4", ""], ["i9", "i2", "i3"], ["", "", ""]], object)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    users, items = rng.integers(0, 20, 150), (N_ITEMS * rng.random(150) ** 2).astype(np.int32)
    catalogue = pa.table({"item_id": [f"i{row}" for row in range(N_ITEMS)]})
    return RetrievalData(Features(), catalogue, pa.array([f"u{user}" for user in users]), items, np.arange(150))


def query():
    return {"history": tf.constant(HISTORIES), "user_id": tf.constant(["u1", "new", "u2"])}


@pytest.mark.parametrize(("k0", "depth", "weights"), [(60.0, 1000, {}), (1.0, 4, {"user_knn": 0.5, "popularity": 3.0})])
def test_scores_are_sums_of_reciprocal_ranks(data, k0, depth, weights):
    settings = FusionSettings(models=MEMBERS, rank_constant=k0, depth=depth, weights=weights)
    found = fusion.fit(settings, data, 0).scores(query()).numpy()
    expected = np.zeros_like(found)
    for name, params in MEMBERS.items():
        of_model = MODELS[name].load()(MODELS.check(name, params), data, 0).scores(query()).numpy()
        for row, scores in enumerate(of_model):
            for rank, item in enumerate(np.argsort(-scores, kind="stable")[:depth], start=1):
                expected[row, item] += weights.get(name, 1.0) / (k0 + rank)
    counts = data.counts()
    expected += 1e-3 / (k0 + min(depth, N_ITEMS)) * counts / counts.max()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("cold", [0.0, 0.5, 1.0])
def test_models_of_events_abstain_from_an_item_without_any(data, cold):
    fused = fusion.fit(FusionSettings(models=MEMBERS, cold_weight_share=cold, weights={"user_knn": 2.0}), data, 0)
    new = np.isin(np.arange(N_ITEMS), [3, 7])
    fused.by_features = [True, False, False]  # as if item_knn compared features
    ranks = [
        tf.constant(np.random.default_rng(place).permuted(np.tile(np.arange(N_ITEMS), (2, 1)), axis=1), tf.float32)
        for place in range(3)
    ]
    plain = fused._fuse(ranks).numpy()
    fused.cold = tf.constant(cold * new, tf.float32)
    found = fused._fuse(ranks).numpy()
    np.testing.assert_array_equal(found[:, ~new], plain[:, ~new])
    first, second, third = (1 / (fused.rank_constant + 1 + rank.numpy()[:, new]) for rank in ranks)
    expected = (1 + cold * (2 + 1)) * first + (1 - cold) * (2 * second + third)
    np.testing.assert_allclose(found[:, new], expected + fused.popularity.numpy()[new], rtol=1e-5)


def test_popularity_orders_what_no_list_reaches(data):
    settings = FusionSettings(models={"item_knn": {}, "ease": {}}, depth=3)
    [scores, *_] = fusion.fit(settings, data, 0).scores(query()).numpy()
    rest = np.argsort(-scores, kind="stable")[6:]
    counts = data.counts()[rest]
    assert len(set(counts)) > 3
    assert (np.diff(counts) <= 0).all()


def test_it_is_fitted_again_with_what_its_models_have_chosen(data):
    settings = FusionSettings(models=MEMBERS)
    chosen = fusion.fit(settings, data, 0).settings
    assert chosen.models["item_knn"] == MODELS.check("item_knn", {"neighbours": 5}).model_dump()
    again = fusion.fit(chosen, data, 0)
    assert again.settings == chosen
    np.testing.assert_array_equal(again.scores(query()), fusion.fit(settings, data, 0).scores(query()))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"models": {"ease": {}}}, "models … 2"),
        ({"models": {"ease": {}, "esae": {}}}, "params of fusion: models: … found 'esae'"),
        ({"models": {"ease": {"lambda": 2}, "slim": {}}}, "params of fusion: models: retrieval.params of ease: lambda"),
        ({"models": {"ease": {}, "slim": {}}, "weights": {"ials": 2}}, "weights … ease, slim … ials"),
    ],
)
def test_what_cannot_be_fused_is_refused(params, message):
    with pytest.raises(ValueError, match=facts(message)):
        MODELS.check("fusion", params)


def test_its_signals_are_the_scores_and_ranks_of_its_models(data):
    found = fusion.fit(FusionSettings(models=MEMBERS, depth=6), data, 0)
    exclude = tf.constant([["i0"], ["i9"], [""]])
    answer = found.signatures()["retrieve"](**query(), exclude=exclude, k=tf.constant(10))
    names_of = MODELS.signals("fusion", {"models": MEMBERS})
    assert set(answer) == {"item_id", "item_row", "score", *names_of}
    ids = [f"i{row}" for row in range(N_ITEMS)]
    for label, member in found.members.items():
        scores = member.scores(query()).numpy()
        for row, items in enumerate(answer["item_id"].numpy().astype(str)):
            scores[row, [i for i, each in enumerate(ids) if each in exclude.numpy().astype(str)[row]]] = -np.inf
            order = np.argsort(-scores[row], kind="stable").tolist()
            rows = [ids.index(item) for item in items]
            np.testing.assert_allclose(answer[f"score_of_{label}"][row], scores[row, rows], rtol=1e-6)
            ranks = [min(6, order.index(each)) for each in rows]
            assert answer[f"rank_of_{label}"][row].numpy().tolist() == ranks
    # The signature `score` gives the same values for the same items.
    again = found.signatures()["score"](**query(), exclude=exclude, item_id=answer["item_id"])
    for name in ("score", *names_of):
        np.testing.assert_allclose(again[name], answer[name], rtol=1e-6)


def test_one_model_can_be_part_of_it_twice(data):
    models = {"near": {"model": "item_knn", "neighbours": 2}, "far": {"model": "item_knn"}}
    found = fusion.fit(FusionSettings(models=models), data, 0)
    assert [member.settings.neighbours for member in found.members.values()] == [2, 50]
    again = fusion.fit(found.settings, data, 0)
    np.testing.assert_allclose(again.scores(query()), found.scores(query()))


def test_weights_are_learned_from_the_queries_of_eval_and_kept_for_the_second_fit(data):
    # The relevant item is one of the three most popular for any history, so only popularity predicts it.
    rng = np.random.default_rng(3)
    count = 60
    right = np.argsort(-data.counts(), kind="stable")[rng.integers(0, 3, count)].astype(np.int32)
    lists = pa.array([[f"i{rng.integers(N_ITEMS)}"] for _ in range(count)])
    nothing = pa.array([[]] * count, pa.list_(pa.string()))
    users = pa.table({"user_id": [f"u{row}" for row in range(count)]})
    query_set = Queries(users, np.zeros(count, np.int64), lists, nothing, np.arange(count + 1), right)
    settings = FusionSettings(models=MEMBERS, learn_weights=True)
    found = fusion.fit(settings, dataclasses.replace(data, validation=query_set), 0)
    weights = found.settings.weights
    assert weights["popularity"] > max(weights["item_knn"], weights["user_knn"])
    assert not found.settings.learn_weights
    alike = fusion.fit(FusionSettings(models=MEMBERS), dataclasses.replace(data, validation=query_set), 0)
    ndcg = [Validation(each, dataclasses.replace(data, validation=query_set), 10).ndcg() for each in (found, alike)]
    assert ndcg[0] > ndcg[1] + 0.02
    again = fusion.fit(found.settings, data, 0)  # without queries the weights are kept
    np.testing.assert_allclose(again.scores(query()), found.scores(query()))


def test_weights_cannot_be_learned_from_nothing(data):
    with pytest.raises(ModelError, match="queries"):
        fusion.fit(FusionSettings(models=MEMBERS, learn_weights=True), data, 0)
