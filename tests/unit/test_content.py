"""The model `content`: vectors of feature values, computed by hand or reduced in dimension, and its graph."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from core.errors import ModelError
from trainer.retrieval.content import model as content
from trainer.retrieval.content import vectors
from trainer.retrieval.content.settings import ContentSettings
from trainer.retrieval.contract import RetrievalData
from transform.features import Features

FEATURES = Features.model_validate({"item": {"brand": "categorical", "genres": "multi_valued", "price": "numeric"}})
CATALOGUE = pa.table(
    {
        "item_id": list("abcde"),
        "brand": ["x", "x", "y", "y", None],
        "genres": [["p", "q"], ["p"], ["q"], [], ["q"]],
        "price": pa.array([-2.0, -2.0, 0.1, None, 3.0], pa.float32()),
    }
)


# ---- vectors of values ----


def test_values_are_weighed_by_how_rare_they_are():
    places = np.array([[1, 2], [1, 0], [1, 3], [0, 0]])
    found = vectors.value_vectors(places, np.ones((4, 2), np.float32), np.zeros(5, bool), dim=4, seed=0)
    rare = [math.log(5 / 4), math.log(5 / 2), math.log(5 / 2), math.log(5)]
    np.testing.assert_allclose(found, np.vstack([np.zeros(4), np.diag(rare)]), rtol=1e-6)
    assert found.dtype == np.float32


def embedded(places, of_values):
    summed = of_values[places].sum(axis=1)
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-9)


def test_narrowed_vectors_keep_the_cosines_of_what_has_no_more_dimensions():
    # Values occur in fixed pairs, so 4 dimensions are enough for 8 values.
    base = np.random.default_rng(1).integers(0, 5, (40, 2))
    places = np.concatenate([base, np.where(base > 0, base + 4, 0)], axis=1)
    each = np.ones(places.shape, np.float32), np.zeros(9, bool)
    full = embedded(places, vectors.value_vectors(places, *each, dim=8, seed=0))
    narrow = vectors.value_vectors(places, *each, dim=4, seed=0)
    assert narrow.shape == (9, 4)
    assert narrow[0].tolist() == [0] * 4
    few = embedded(places, narrow)
    np.testing.assert_allclose(few @ few.T, full @ full.T, atol=1e-5)


def test_narrowed_vectors_are_the_same_at_each_fit():
    places = np.random.default_rng(2).integers(0, 30, (50, 3))
    each = np.ones(places.shape, np.float32), np.zeros(30, bool)
    first, second = (vectors.value_vectors(places, *each, dim=8, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_values_that_come_with_weights_are_not_weighed_again():
    places, weighed = np.array([[1, 2], [1, 0], [2, 3]]), np.array([False, False, True, True])
    found = vectors.value_vectors(places, np.full((3, 2), 0.5, np.float32), weighed, dim=4, seed=0)
    np.testing.assert_allclose(np.diag(found[1:]), [math.log(4 / 3), 1, 1], rtol=1e-6)


def test_narrowing_goes_by_the_weights_too():
    # Values 1 and 2 each occur together with 3. The weight of 3 is almost 0, so two dimensions are enough for 1 and 2.
    places = np.array([[1, 3], [2, 3]] * 10)
    weights = np.array([[1, 1e-4], [1, 1e-4]] * 10, np.float32)
    narrow = vectors.value_vectors(places, weights, np.ones(4, bool), dim=2, seed=0)
    np.testing.assert_allclose(np.linalg.norm(narrow[1:], axis=1), [1, 1, 0], atol=1e-3)


# ---- the graph ----


class Indices(tf.Module):
    """A transform graph with two vocabularies and a numeric column."""

    def __init__(self):
        super().__init__()
        self.tables = {
            name: tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(tf.constant(values), tf.range(1, len(values) + 1, dtype=tf.int64)),
                0,
            )
            for name, values in {"brand": ["x", "y"], "genres": ["p", "q"]}.items()
        }

    def __call__(self, columns):
        brand, genres = (self.tables[name].lookup(tf.sparse.to_dense(columns[name], "")) for name in self.tables)
        return {"brand": brand[:, 0], "genres": genres, "price": tf.sparse.to_dense(columns["price"])[:, 0]}


@pytest.fixture(scope="module")
def data():
    items = np.array([0, 1, 1, 2, 3, 3, 3], np.int32)
    return RetrievalData(
        features=FEATURES,
        catalogue=CATALOGUE,
        users=pa.array(["u"] * len(items)),
        items=items,
        timestamps=np.zeros(len(items), np.int64),
        transform=Indices(),
        sizes={"brand": 3, "genres": 3},
    )


# A row for each value: brand x, y; genre p, q; price low, middle or missing, high. A column for each item from a to e.
VALUES = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 1],
                   [1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]).T  # fmt: skip


def cosines():
    rare = VALUES * np.log(6 / (1 + VALUES.sum(axis=0)))
    normal = rare / np.linalg.norm(rare, axis=1, keepdims=True)
    return normal, normal @ normal.T


def test_items_are_alike_by_the_values_they_share(data):
    model = content.fit(ContentSettings(), data, 0)
    normal, expected = cosines()
    found = model.embeddings.numpy()[:, :-1]
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-5)
    counts = np.array([1, 2, 1, 3, 0])
    np.testing.assert_allclose(model.embeddings.numpy()[:, -1], content.TIE * counts / 3, rtol=1e-5)
    assert normal.shape == (5, 7)


@pytest.mark.parametrize("half_life", [1.0, None])
def test_a_query_is_the_mean_of_its_history(data, half_life):
    model = content.fit(ContentSettings(half_life=half_life), data, 0)
    found = model.scores({"history": tf.constant([["a", "", "b", "e"], ["", "c", "gone", ""]])}).numpy()
    normal, _ = cosines()
    weights = np.array([0.25, 0.5, 1.0]) if half_life else np.ones(3)
    first = weights @ normal[[0, 1, 4]]
    expected = np.stack([normal @ first / np.linalg.norm(first), normal @ normal[2]])
    np.testing.assert_allclose(found, expected + content.TIE * np.array([1, 2, 1, 3, 0]) / 3, atol=1e-5)


def test_popularity_orders_what_is_equally_alike(data):
    model = content.fit(ContentSettings(), data, 0)
    [found] = model.scores({"history": tf.constant([[""]])}).numpy()
    assert np.argsort(-found, kind="stable").tolist() == [3, 1, 0, 2, 4]


class Words(tf.Module):
    """A transform graph with a text of at most two words and their weights, and a column of vectors."""

    def __call__(self, columns):
        rows = {b"one": ([1, 0], [2.0, 0.0]), b"both": ([1, 2], [1.0, 3.0]), b"": ([0, 0], [0.0, 0.0])}
        names = list(rows)
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(names), tf.range(len(names), dtype=tf.int64)), 2
        )
        found = table.lookup(tf.sparse.to_dense(columns["story"], "")[:, 0])
        story, weight = (tf.gather(tf.constant([row[place] for row in rows.values()]), found) for place in (0, 1))
        picture = tf.ensure_shape(tf.sparse.to_dense(columns["picture"]), [None, 2])
        return {"story": tf.cast(story, tf.int64), "story_weight": weight, "picture": picture}


def test_words_weigh_what_they_come_with_and_given_vectors_stand_beside_them():
    features = Features.model_validate({"item": {"story": "text", "picture": {"kind": "embedding", "size": 2}}})
    pictures = pa.array([[3.0, 4.0], [0.0, 2.0], [1.0, 1.0]], pa.list_(pa.float32()))
    catalogue = pa.table({"item_id": list("abc"), "story": ["one", "both", None], "picture": pictures})
    items = np.array([0], np.int32)
    given = RetrievalData(
        features, catalogue, pa.array(["u"]), items, np.zeros(1, np.int64), transform=Words(), sizes={"story": 3}
    )
    model = content.fit(ContentSettings(), given, 0)
    half = np.sqrt(0.5)
    words = half * np.array([[1, 0], [1 / np.sqrt(10), 3 / np.sqrt(10)]])
    expected = np.concatenate([words, half * np.array([[0.6, 0.8], [0, 1]])], axis=1)
    np.testing.assert_allclose(model.embeddings.numpy()[:2, :-1], expected, rtol=1e-5)
    np.testing.assert_allclose(model.embeddings.numpy()[2, :-1], [0, 0, half, half], rtol=1e-5)


def test_given_vectors_alone_are_enough(data):
    features = Features.model_validate({"item": {"picture": {"kind": "embedding", "size": 2}}})
    catalogue = pa.table({"item_id": ["a", "b"], "picture": pa.array([[3, 4], [0, 2]], pa.list_(pa.float32()))})
    given = RetrievalData(
        features,
        catalogue,
        pa.array(["u"]),
        np.array([0], np.int32),
        np.zeros(1, np.int64),
        transform=lambda columns: {"picture": tf.ensure_shape(tf.sparse.to_dense(columns["picture"]), [None, 2])},
        sizes={"user_id": 2},
    )
    model = content.fit(ContentSettings(), given, 0)
    np.testing.assert_allclose(model.embeddings.numpy()[:, :-1], [[0.6, 0.8], [0, 1]], rtol=1e-5)


def test_no_features_of_items_is_refused(data):
    bare = RetrievalData(Features(), data.catalogue, data.users, data.items, data.timestamps)
    with pytest.raises(ModelError, match=r"`features\.item` is empty"):
        content.fit(ContentSettings(), bare, 0)
