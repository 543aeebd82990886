"""The model `popularity`: over all events, over the latest days, and within the user's segment."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from facts import facts

from core.errors import ModelError
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.counts import popularity, shares
from trainer.retrieval.counts.settings import PopularitySettings
from transform.features import Features

FEATURES = Features.model_validate(
    {
        "user": {
            "city": "categorical",
            "age": {"kind": "numeric", "buckets": 3},
            "height": "numeric",
            "tags": "multi_valued",
        }
    }
)
DAY = 86_400
# Item, day and city of each event; a city is an index of the transform graph.
EVENTS = np.array([(0, 0, 1), (0, 1, 1), (0, 2, 2), (1, 9, 2), (1, 9, 2), (2, 9, 1), (3, 3, 2), (3, 4, 0)])


class Cities(tf.Module):
    """A transform graph with one categorical column, the city."""

    def __init__(self):
        super().__init__()
        keys = tf.constant(["bonn", "cork"])
        initializer = tf.lookup.KeyValueTensorInitializer(keys, tf.constant([1, 2], tf.int64))
        self.table = tf.lookup.StaticHashTable(initializer, 3)

    def __call__(self, columns):
        known = self.table.lookup(tf.sparse.to_dense(columns["city"], ""))
        return {"city": tf.where(tf.sparse.to_dense(columns["city"], "") == "", tf.constant(0, tf.int64), known)[:, 0]}


@pytest.fixture(scope="module")
def data():
    return RetrievalData(
        features=FEATURES,
        catalogue=pa.table({"item_id": list("abcde")}),
        users=pa.array(["u"] * len(EVENTS)),
        items=EVENTS[:, 0].astype(np.int32),
        timestamps=EVENTS[:, 1] * DAY,
        user_columns=lambda: {"city": EVENTS[:, 2]},
        transform=Cities(),
        sizes={"city": 4},
    )


def order(data, cities=("",), **settings):
    model = popularity.fit(PopularitySettings(**settings), data, 0)
    query = {"user_id": tf.constant(["u"] * len(cities)), "city": tf.constant(cities)}
    found = model.scores(query).numpy()
    return ["".join("abcde"[item] for item in np.argsort(-row, kind="stable")) for row in found]


def test_the_most_events_first_and_of_as_many_the_first_item(data):
    assert order(data) == ["abdce"]


def test_the_last_days_come_first_then_all(data):
    # Events in the window: b two, c one. Earlier events: a three, d two.
    assert order(data, window_days=3) == ["bcade"]
    assert order(data, window_days=100) == ["abdce"]


def test_the_users_segment_comes_first_then_everyone(data):
    # Events in Bonn: a two, c one; in Cork: b two, a and d one. With an unknown or missing city all events count.
    assert order(data, ("bonn", "cork", "lima", ""), segment="city") == ["acbde", "badce", "abdce", "abdce"]


def test_a_segment_and_a_window(data):
    assert order(data, ("bonn", "cork"), segment="city", window_days=3) == ["cbade", "bcade"]


def test_scores_are_shares(data):
    [found] = popularity.fit(PopularitySettings(), data, 0).scores({"user_id": tf.constant(["u"])}).numpy()
    np.testing.assert_allclose(found, [1, 7 / 3 / 3.5, (1 + 1 / 6) / 3.5, 7 / 3 / 3.5, 0], rtol=1e-5)


def test_another_measure_orders_the_same_counts_alone():
    found = shares.shares(np.array([[3, 3, 2, 0], [0, 0, 0, 0]]), np.array([1, 9, 9, 5]))
    assert np.argsort(-found, axis=1, kind="stable").tolist() == [[1, 0, 2, 3], [1, 2, 3, 0]]
    assert found.max(axis=1).tolist() == [1, 1]


def test_no_events_is_no_share():
    assert shares.shares(np.zeros(3, int), np.zeros(3)).tolist() == [0, 0, 0]
    assert shares.recent(np.zeros(0, np.int64), 7).tolist() == []


@pytest.mark.parametrize(("segment", "column"), [("city", "city"), ("age", "age_bucket")])
def test_a_segment_is_a_column_of_the_transform_graph(segment, column):
    assert shares.segment_column(segment, FEATURES.user) == column


@pytest.mark.parametrize(("segment", "message"), [("height", "numeric"), ("tags", "multi_valued"), ("x", "no feature")])
def test_what_is_no_segment_is_refused(segment, message):
    with pytest.raises(ModelError, match=facts(f"segment … users … '{segment}' … {message}")):
        shares.segment_column(segment, FEATURES.user)


def test_a_segment_needs_features(data):
    alone = RetrievalData(FEATURES, data.catalogue, data.users, data.items, data.timestamps)
    with pytest.raises(ModelError, match="transformed features"):
        popularity.fit(PopularitySettings(segment="city"), alone, 0)
