"""The vectors that a model makes of features: one index, several, weighted indices, a number, a given vector."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pytest
import tensorflow as tf

from trainer.layers import FeatureEmbedding
from transform.features import Features

FEATURES = Features.model_validate(
    {
        "item": {
            "brand": "categorical",
            "genres": "multi_valued",
            "price": {"kind": "numeric", "buckets": 2},
            "title": "text",
            "picture": {"kind": "embedding", "size": 2},
            "niche": {"kind": "cross", "columns": ["brand", "genres"]},
        }
    }
).item
COLUMNS = {
    "brand": np.array([1, 2]),
    "genres": np.array([[1, 2, 0], [0, 0, 0]]),
    "price": np.array([0.5, -1], np.float32),
    "price_bucket": np.array([1, 2]),
    "title": np.array([[1, 2], [0, 0]]),
    "title_weight": np.array([[0.2, 0.6], [0, 0]], np.float32),
    "picture": np.array([[1, 2], [0, 0]], np.float32),
    "niche": np.array([[3, 1], [2, 0]]),
}
SIZES = {"brand": 3, "genres": 3, "price_bucket": 3, "title": 3, "niche": 4}


@pytest.fixture(scope="module")
def layer():
    tf.keras.utils.set_random_seed(0)
    return FeatureEmbedding(FEATURES, SIZES, 4)


@pytest.fixture(scope="module")
def vectors(layer):
    return [vector.numpy() for vector in layer({name: tf.constant(value) for name, value in COLUMNS.items()})]


def test_each_output_is_a_vector(layer, vectors):
    brand, genres, price, bucket, title, picture, niche = vectors
    table = {name: weights.get_weights()[0] for name, weights in layer.tables.items()}
    np.testing.assert_allclose(brand, table["brand"][[1, 2]])
    np.testing.assert_allclose(genres, [table["genres"][1:].mean(axis=0), np.zeros(4)], rtol=1e-5)
    assert price.tolist() == [[0.5], [-1]]
    np.testing.assert_allclose(bucket, table["price_bucket"][[1, 2]])
    np.testing.assert_allclose(title, [0.25 * table["title"][1] + 0.75 * table["title"][2], np.zeros(4)], rtol=1e-5)
    np.testing.assert_allclose(picture, COLUMNS["picture"] @ layer.projections["picture"].get_weights()[0], rtol=1e-5)
    np.testing.assert_allclose(niche, [table["niche"][[1, 3]].mean(axis=0), table["niche"][2]], rtol=1e-5)


def test_candidates_are_as_one_item_each(layer, vectors):
    lists = layer({name: tf.constant(np.stack([value, value], axis=1)) for name, value in COLUMNS.items()})
    for alone, listed in zip(vectors, lists, strict=True):
        np.testing.assert_allclose(listed.numpy(), np.stack([alone, alone], axis=1), rtol=1e-5)
