"""The analysis of users and items against the analyzers of TensorFlow Transform, which read every event."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from facts import lacking
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from core import names
from core.errors import UsageError
from transform import analysis, raw
from transform.features import Features, raw_columns

FEATURES = Features.model_validate(
    {
        "user": {"age": {"kind": "numeric", "buckets": 4}, "joined": "timestamp"},
        "item": {
            "brand": {"kind": "categorical", "min_count": 20},
            "genres": "multi_valued",
            "price": {"kind": "numeric", "log": True},
            "story": {"kind": "text", "max_words": 4, "max_vocabulary": 5},
        },
        "id_min_count": 9,
    }
)


@pytest.fixture(scope="module")
def tables():
    """Return random users and items, and the rows of both of each event."""
    random = np.random.default_rng(5)
    users = pa.table(
        {
            names.USER_ID: [f"u{row}" for row in range(60)],
            "age": pa.array(random.integers(10, 90, 60).astype(np.float32), mask=random.random(60) < 0.2),
            "joined": pa.array(random.integers(1_600_000_000, 1_700_000_000, 60).astype(np.float32)),
        }
    )
    some = list("abcdef")
    items = pa.table(
        {
            names.ITEM_ID: [f"i{row}" for row in range(50)],
            "brand": pa.array(random.choice(some, 50), mask=random.random(50) < 0.1),
            "genres": [random.choice(some, random.integers(0, 4)).tolist() for _ in range(50)],
            "price": pa.array(np.exp(random.normal(size=50)).astype(np.float32)),
            "story": [" ".join(random.choice(some, random.integers(0, 7))) for _ in range(50)],
        }
    )
    events = np.stack([(60 * random.random(500) ** 2).astype(int), (50 * random.random(500) ** 2).astype(int)])
    return users, items, events


def stock(inputs):
    """Return what TensorFlow Transform computes with its own analyzers."""

    def scaled(column):
        wide = tft.scale_to_z_score(column.with_values(tf.cast(column.values, tf.float64)))
        return wide.with_values(tf.cast(wide.values, tf.float32))

    words = tf.strings.split(tf.sparse.to_dense(inputs["story"])[:, 0])[:, :4].to_sparse()
    indices = tft.compute_and_apply_vocabulary(words, top_k=5, frequency_threshold=2, vocab_filename="story")
    known = tf.sparse.retain(indices, indices.values >= 0)
    text, weights = tft.tfidf(known, 5)
    log = inputs["price"].with_values(tf.math.log1p(inputs["price"].values))
    bucket = tft.bucketize(inputs["age"], 4)
    return {
        "age": scaled(inputs["age"]),
        "joined": scaled(inputs["joined"]),
        "price": scaled(log),
        "age_bucket": bucket.with_values(tf.cast(bucket.values, tf.int64)),
        names.USER_ID: tft.compute_and_apply_vocabulary(
            inputs[names.USER_ID], frequency_threshold=9, num_oov_buckets=16
        ),
        names.ITEM_ID: tft.compute_and_apply_vocabulary(
            inputs[names.ITEM_ID], frequency_threshold=9, num_oov_buckets=16
        ),
        "brand": tft.compute_and_apply_vocabulary(inputs["brand"], frequency_threshold=20, num_oov_buckets=1),
        "genres": tft.compute_and_apply_vocabulary(inputs["genres"], num_oov_buckets=1),
        "story": text,
        "story_weight": weights,
    }


@pytest.fixture(scope="module")
def outputs(tables, tmp_path_factory):
    """Return column → its values for each event, ours and those of TensorFlow Transform, as sparse ones are listed."""
    users, items, (user, item) = tables
    folder = tmp_path_factory.mktemp("graph")
    counted = [
        analysis.with_event_counts(table, key, table[key].take(pa.array(rows)))
        for table, key, rows in ((users, names.USER_ID, user), (items, names.ITEM_ID, item))
    ]
    analysis.write_graph(FEATURES, *counted, folder)
    joined = users.take(pa.array(user)), items.take(pa.array(item))
    dense = {
        key: tf.constant(table[key].combine_chunks().to_numpy(zero_copy_only=False))
        for table, key in zip(joined, (names.USER_ID, names.ITEM_ID), strict=True)
    }
    dense |= raw.from_table(joined[0], FEATURES.user) | raw.from_table(joined[1], FEATURES.item)
    sparse = raw.to_sparse(dense)
    layer = tft.TFTransformOutput(str(folder)).transform_features_layer()
    ours = layer(sparse | raw.to_sparse({names.HISTORY: tf.fill([len(user), 1], "")}))

    columns = raw_columns(FEATURES.user | FEATURES.item)
    spec = {name: tf.io.VarLenFeature(tf.as_dtype(column.dtype)) for name, column in columns.items()}
    spec |= {name: tf.io.VarLenFeature(tf.string) for name in (names.USER_ID, names.ITEM_ID)}
    rows = [
        {name: value.values[value.indices[:, 0] == row].numpy().tolist() for name, value in sparse.items()}
        for row in range(len(user))
    ]
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    with tft_beam.Context(temp_dir=str(folder / "temp")):
        (found, _), _ = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(stock)
    theirs = {name: [row[name] for row in found] for name in found[0]}
    return {name: value.numpy() for name, value in ours.items()}, theirs


@pytest.mark.parametrize("name", [names.USER_ID, names.ITEM_ID, "brand", "genres", "story", "age_bucket"])
def test_indices_are_those_of_tensorflow_transform(outputs, name):
    ours, theirs = outputs
    for row, expected in zip(ours[name], theirs[name], strict=True):
        np.testing.assert_array_equal(np.atleast_1d(row)[np.atleast_1d(row) > 0] - 1, expected)


def test_a_kind_with_analyzers_of_tensorflow_transform_is_an_error_that_says_what_to_use(tables, tmp_path):
    users, items, _ = tables
    features = Features.model_validate({"item": {"brand": "stock_analyzer:StockAnalyzer"}})
    counted = (table.append_column(names.EVENT_COUNT, pa.array([1] * len(table))) for table in (users, items))
    with pytest.raises(UsageError) as caught:
        analysis.write_graph(features, *counted, tmp_path)
    assert lacking(str(caught.value), "features: brand … stock_analyzer:StockAnalyzer … transform.graph") == []


@pytest.mark.parametrize("name", ["age", "joined", "price", "story_weight"])
def test_numbers_are_those_of_tensorflow_transform(outputs, name):
    ours, theirs = outputs
    for row, expected in zip(ours[name], theirs[name], strict=True):
        found = np.atleast_1d(row)
        np.testing.assert_allclose(found[: len(expected)], expected, rtol=1e-3, atol=1e-5)
        assert not found[len(expected) :].any()
