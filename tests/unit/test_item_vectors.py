"""Vectors of items: the similarity of two items, computed by hand, and missing values."""

import math

import numpy as np
import pyarrow as pa
import pytest

from core import metrics
from serving.item_vectors import item_vectors
from transform.features import Features

CATALOGUE = pa.table(
    {
        "item_id": list("abcde"),
        "brand": ["x", "x", "y", "", None],
        "genres": pa.array([["p", "q"], ["p", "p"], ["q", "r"], [], None], pa.list_(pa.string())),
        "price": pa.array([1.0, 10.0, 1000.0, 10.0, None], pa.float32()),
    }
)


def likeness(**features):
    vectors = item_vectors(CATALOGUE, Features.model_validate({"item": features}).item)
    dense = vectors.toarray()
    assert (dense >= 0).all()
    return dense @ dense.T


def test_the_same_category_is_alike_and_a_missing_one_is_nothing():
    assert likeness(brand="categorical").tolist() == [
        [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]
    ]  # fmt: skip


def test_sets_are_alike_by_what_they_share():
    found = likeness(genres="multi_valued")
    assert found[0] == pytest.approx([1, 1 / math.sqrt(2), 1 / 2, 0, 0])
    assert found[1, 1] == pytest.approx(1)  # a repeated value counts once
    assert found[1, 2] == 0


def test_numbers_are_alike_by_place():
    found = likeness(price="numeric")
    # The relative ranks are 0, 1/2, 1, 1/2 and missing: the two equal prices share the ranks 1 and 2 of 0 to 3. A
    # relative rank of 1 is an angle of 90°.
    turn = math.cos(math.pi / 4)
    assert found[0] == pytest.approx([1, turn, 0, turn, 0], abs=1e-12)
    assert found[1, 3] == pytest.approx(1)
    assert found[4, 4] == 0


def test_numbers_all_alike_are_alike():
    table = pa.table({"price": pa.array([3.0, 3.0], pa.float32())})
    vectors = item_vectors(table, Features.model_validate({"item": {"price": "numeric"}}).item).toarray()
    assert vectors @ vectors.T == pytest.approx(np.ones((2, 2)))


def test_text_is_alike_by_its_words_and_given_vectors_by_their_cosine():
    table = pa.table(
        {
            "story": ["The g0, the West!", "west ÖSTEN", "östen", None, "?"],
            "picture": pa.array([[3, 4], [0, 2], None, [], [0, -1]], pa.list_(pa.float32())),
        }
    )
    features = Features.model_validate({"item": {"story": "text", "picture": {"kind": "embedding", "size": 2}}}).item
    story, picture = (item_vectors(table, {name: features[name]}).toarray() for name in features)
    assert (story @ story.T)[0] == pytest.approx([1, 1 / math.sqrt(6), 0, 0, 0])
    assert (story @ story.T)[1, 2] == pytest.approx(1 / math.sqrt(2))
    assert (picture @ picture.T)[0] == pytest.approx([1, 0.8, 0, 0, -0.8])
    both = item_vectors(table, features).toarray()
    assert both @ both.T == pytest.approx(story @ story.T + picture @ picture.T)


def test_every_feature_weighs_alike():
    found = likeness(brand="categorical", genres="multi_valued", price="numeric")
    single = [likeness(**{name: kind}) for name, kind in (("brand", "categorical"), ("genres", "multi_valued"))]
    assert found == pytest.approx(sum(single) + likeness(price="numeric"))
    assert found[0, 0] == pytest.approx(3)


def test_no_features_and_no_items_have_vectors_all_the_same():
    vectors = item_vectors(CATALOGUE, {})
    assert vectors.shape == (5, 0)
    assert np.isnan(metrics.intra_list_diversity(np.array([[0, 1]]), vectors, 2)).all()
    features = Features.model_validate({"item": {"brand": "categorical", "price": "numeric"}}).item
    assert item_vectors(CATALOGUE.slice(0, 0), features).shape[0] == 0
