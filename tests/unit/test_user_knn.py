"""The scores of user-based nearest neighbours, compared with NumPy on dense matrices."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer.retrieval import interactions
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.neighbours import user_knn, weighting
from trainer.retrieval.neighbours.settings import UserKNNSettings
from transform.features import Features

N_USERS, N_ITEMS = 9, 12


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    users, items = rng.integers(0, N_USERS, 60), rng.integers(0, N_ITEMS - 1, 60).astype(np.int32)
    return RetrievalData(
        features=Features(),
        catalogue=pa.table({"item_id": [f"i{row}" for row in range(N_ITEMS)]}),
        users=pa.array([f"u{user}" for user in users]),
        items=items,
        timestamps=np.arange(60),
    )


def expected(data, settings, history):
    """Return the scores of all items, [N], by definition: the query is one more row of the weighted matrix."""
    counts = interactions.user_item_counts(data.users, data.items, N_ITEMS)
    table = weighting.weighted(counts, settings.weighting).toarray()
    query = np.bincount(history, minlength=N_ITEMS).astype(float)
    having = (counts.toarray() > 0).sum(axis=0)
    rare = np.log((1 + counts.shape[0]) / (1 + having))
    if settings.weighting == "none":
        query = (query > 0).astype(float)
    elif settings.weighting == "tf_idf":
        query = np.sqrt(query) * rare
    else:
        relative = 0.25 + 0.75 * query.sum() / (counts.sum() / counts.shape[0])
        query = query * 2.2 / (query + 1.2 * relative) * rare
    both, square, squares = table @ query, query @ query, (table**2).sum(axis=1)
    below = np.sqrt(square * squares) if settings.similarity == "cosine" else square + squares - both
    alike = both / (below + settings.shrinkage * (table[table != 0] ** 2).mean())
    chosen = np.argsort(-alike, kind="stable")[: settings.neighbours]
    popular = np.bincount(data.items, minlength=N_ITEMS)
    return alike[chosen] @ (counts.toarray()[chosen] > 0) + 1e-6 * popular / popular.max()


@pytest.mark.parametrize("name", ["none", "tf_idf", "bm25"])
@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
@pytest.mark.parametrize("neighbours", [1, 4, 100])
def test_scores_are_those_of_the_definition(data, name, similarity, neighbours):
    settings = UserKNNSettings(neighbours=neighbours, shrinkage=2.0, similarity=similarity, weighting=name)
    model = user_knn.fit(settings, data, 0)
    histories = [[1, 5, 5, 2], [7], [0, 3, 4, 8, 9, 10]]
    padded = np.full((3, 7), "", object)
    for row, history in enumerate(histories):
        padded[row, : len(history)] = [f"i{item}" for item in history]
    found = model.scores({"history": tf.constant(padded)}).numpy()
    for scores, history in zip(found, histories, strict=True):
        np.testing.assert_allclose(scores, expected(data, settings, history), rtol=1e-4, atol=1e-7)


def test_an_empty_history_gives_popularity(data):
    model = user_knn.fit(UserKNNSettings(shrinkage=0.0), data, 0)
    [scores] = model.scores({"history": tf.constant([["", "never heard of"]])}).numpy()
    popular = np.bincount(data.items, minlength=N_ITEMS)
    np.testing.assert_allclose(scores, 1e-6 * popular / popular.max(), rtol=1e-5)


def test_an_item_is_similar_to_the_items_of_its_users(data):
    settings = UserKNNSettings(neighbours=4)
    found = user_knn.fit(settings, data, 0).item_scores(tf.constant([6], tf.int64)).numpy()[0]
    np.testing.assert_allclose(found, expected(data, settings, [6]), rtol=1e-4, atol=1e-7)
