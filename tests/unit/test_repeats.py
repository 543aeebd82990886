"""The model `repeats`, compared with scores computed by hand and with a loop over the history."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from facts import facts

from core.errors import ModelError
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.counts import repeats
from trainer.retrieval.counts.settings import RepeatsSettings
from transform.features import Features

ITEMS = list("abcdef")
POPULAR = np.array([0, 0, 1, 4, 2, 0])


@pytest.fixture(scope="module")
def data():
    items = np.repeat(np.arange(6), POPULAR).astype(np.int32)
    users = pa.array(["u"] * len(items))
    return RetrievalData(Features(), pa.table({"item_id": ITEMS}), users, items, np.zeros(len(items), np.int64))


def scores(data, history, **settings):
    model = repeats.fit(RepeatsSettings(**settings), data, 0)
    return model.scores({"history": tf.constant(history)}).numpy()


def test_without_a_half_life_it_is_the_users_own_counts(data):
    [found] = scores(data, [["a", "b", "a", "", "c", "a", "b"]], half_life=None)
    np.testing.assert_allclose(found[:3], np.log([4, 3, 2]), rtol=1e-5)
    order = np.argsort(-found, kind="stable")
    assert [ITEMS[item] for item in order] == ["a", "b", "c", "d", "e", "f"]  # equal scores: by popularity


def test_of_equally_frequent_items_the_latest_comes_first(data):
    [found] = scores(data, [["b", "a", "c"]], half_life=1.0)
    np.testing.assert_allclose(found[[2, 0, 1]], math.log(2) * np.array([1, 1 / 2, 1 / 4]), rtol=1e-4)


@pytest.mark.parametrize("half_life", [1.0, 30.0, None])
def test_against_a_loop(data, half_life):
    rng = np.random.default_rng(0)
    histories = [[*rng.choice([*ITEMS, "gone"], rng.integers(0, 30))] for _ in range(20)]
    width = max(map(len, histories))
    padded = np.array([[*history, *[""] * (width - len(history))] for history in histories], object)
    for found, history in zip(scores(data, padded, half_life=half_life), histories, strict=True):
        known = [item for item in history if item in ITEMS]
        for row, item in enumerate(ITEMS):
            value = 1e-6 * POPULAR[row] / 4
            if item in known:
                age = known[::-1].index(item)
                value += math.log(1 + known.count(item)) * (0.5 ** (age / half_life) if half_life else 1)
            assert found[row] == pytest.approx(value, rel=1e-4, abs=1e-9)


def test_where_each_meeting_ages_their_sum_counts(data):
    [found] = scores(data, [["a", "b", "a", "c", "c", ""]], half_life=2.0, decay="each")
    sums = [0.5 ** (4 / 2) + 0.5 ** (2 / 2), 0.5 ** (3 / 2), 1 + 0.5 ** (1 / 2)]
    np.testing.assert_allclose(found[:3], np.log1p(sums) + 1e-6 * POPULAR[:3] / 4, rtol=1e-5)
    without = {"half_life": None}
    np.testing.assert_array_equal(
        scores(data, [["a", "b", "a"]], decay="each", **without), scores(data, [["a", "b", "a"]], **without)
    )


def test_like_an_item_is_what_is_popular(data):
    found = repeats.fit(RepeatsSettings(), data, 0).item_scores(tf.constant([0, 3], tf.int64)).numpy()
    assert np.argsort(-found, axis=1, kind="stable").tolist() == [[3, 4, 2, 0, 1, 5]] * 2


def test_the_values_of_a_feature_are_counted_and_new_items_have_theirs(data):
    features = Features.model_validate({"item": {"type": "categorical", "tags": "multi_valued"}})
    kinds = ["fish", "fish", "tea", "tea", None, "rice"]
    catalogue = data.catalogue.append_column("type", pa.array(kinds))
    typed = RetrievalData(features, catalogue, data.users, data.items, data.timestamps)
    [found] = scores(typed, [["a", "c", "a", "e", ""]], half_life=None, item_feature="type")
    ties = 1e-6 * POPULAR / 4
    np.testing.assert_allclose(found, np.log([3, 3, 2, 2, 1, 1]) + ties, rtol=1e-5)
    [lately] = scores(typed, [["a", "c", "a", "e", ""]], half_life=1.0, item_feature="type")
    np.testing.assert_allclose(lately[[1, 3]], np.log([3, 2]) * [1 / 2, 1 / 4] + ties[[1, 3]], rtol=1e-5)
    for of in ("tags", "brand"):
        with pytest.raises(ModelError, match=facts("item_feature … categorical … items")):
            repeats.fit(RepeatsSettings(item_feature=of), typed, 0)
