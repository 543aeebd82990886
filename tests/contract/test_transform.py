"""What the transform graph makes of raw columns: indices and numbers as `transform.names` counts them."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from core import names
from core.names import EVAL, TEST, TRAIN
from trainer.data import transformed
from transform import raw
from transform.names import index_sizes


@pytest.fixture(scope="module")
def seen(world) -> pa.Table:
    """The events that were analysed."""
    return pa.concat_tables([world.parts[TRAIN], world.parts[EVAL]])


@pytest.fixture(scope="module")
def columns(world, seen):
    return transformed(seen, world.features, world.events.transform)


def of_raw(world, **values):
    """Raw values, as a request gives them, through the graph."""
    tensors = {name: tf.constant(value) for name, value in values.items()}
    return {name: value.numpy() for name, value in world.events.transform(raw.to_sparse(tensors)).items()}


def of_items(world, ids):
    return of_raw(world, item_id=np.array(ids, object))[names.ITEM_ID]


def test_every_output_is_dense_and_counted(world, seen, columns):
    sizes, rows = world.events.sizes, len(seen)
    widths = {names.HISTORY: 5, "tags": 2, "genres": 3}
    numbers = {"Age", "price", "year"}
    assert set(columns) == set(sizes) | numbers | {names.HISTORY}
    for name, value in columns.items():
        assert value.shape == ((rows, widths[name]) if name in widths else (rows,))
        assert value.dtype == (np.float32 if name in numbers else np.int64)
        if name not in numbers:
            assert value.min() >= 0
            assert value.max() < sizes[names.ITEM_ID if name == names.HISTORY else name]


def test_sizes_count_missing_vocabulary_and_buckets(world, seen):
    counts = seen[names.ITEM_ID].value_counts().to_pylist()
    frequent = [each["values"] for each in counts if each["counts"] >= world.features.id_min_count]
    sizes = world.events.sizes
    assert sizes[names.ITEM_ID] == 1 + len(frequent) + world.features.id_oov_buckets
    assert sizes["gender"] == 1 + 2 + 1
    assert sizes["Age_bucket"] == 1 + 4
    assert "Age" not in sizes
    vocabularies = {"user_id_vocabulary": 3, "item_id_vocabulary": 5, "gender_vocabulary": 2, "tags_vocabulary": 1}
    vocabularies |= {"nothing_vocabulary": 0, "genres_vocabulary": 4, "brand_vocabulary": 6}
    assert index_sizes(world.features, vocabularies)["brand"] == 1 + 6 + 2


def test_a_column_without_any_value_is_index_0(world, columns):
    assert world.events.sizes["nothing"] >= 2
    assert (columns["nothing"] == 0).all()


def test_known_ids_are_distinct_and_rare_and_unknown_ones_share_buckets(world, seen):
    counts = {each["values"]: each["counts"] for each in seen[names.ITEM_ID].value_counts().to_pylist()}
    frequent = [item for item in world.ids.to_pylist() if counts.get(item, 0) >= 2]
    rest = [item for item in world.ids.to_pylist() if counts.get(item, 0) < 2]
    first_bucket = 1 + len(frequent)
    assert {world.cold_item, "i38"} <= set(rest)
    assert sorted(of_items(world, frequent)) == list(range(1, first_bucket))
    others = of_items(world, [*rest, *(f"unheard of {n}" for n in range(100))])
    assert set(others) == set(range(first_bucket, first_bucket + world.features.id_oov_buckets))
    np.testing.assert_array_equal(of_items(world, rest), of_items(world, rest))


def test_values_below_min_count_share_the_buckets_of_their_feature(world, seen):
    counts = {each["values"]: each["counts"] for each in seen["brand"].value_counts().to_pylist()}
    frequent = [brand for brand, count in counts.items() if brand is not None and count >= 30]
    assert 0 < counts["rare"] < 30
    brand = of_raw(world, brand=np.array([*frequent, "rare", "never met", "new", "newer", ""], object))["brand"]
    known = len(frequent)
    assert sorted(brand[:known]) == list(range(1, known + 1))
    assert set(brand[known:-1]) <= {known + 1, known + 2}
    assert brand[-1] == 0


def test_a_history_is_indexed_as_items_are_oldest_first(world, columns, seen):
    histories = seen[names.HISTORY].to_pylist()
    row = next(row for row, history in enumerate(histories) if len(history) == 3)
    expected = of_items(world, histories[row])
    np.testing.assert_array_equal(columns[names.HISTORY][row], [*expected, 0, 0])


def test_values_past_the_most_are_left_out(world):
    genres = of_raw(world, genres=np.array([["g0", "g1", "g2", "g0"], ["", "g1", "", ""]], object))["genres"]
    alone = of_raw(world, genres=np.array([["g0"], ["g1"], ["g2"]], object))["genres"]
    assert (genres.shape, alone.shape) == ((2, 3), (3, 3))
    np.testing.assert_array_equal(genres[0], alone[:, 0])
    np.testing.assert_array_equal(genres[1], [alone[1, 0], 0, 0])


def test_numbers_are_scaled_by_what_was_analysed_and_missing_ones_are_its_mean(world, seen, columns):
    price = seen["price"].to_numpy()
    log = np.log1p(price.astype(np.float64))
    expected = (log - np.nanmean(log)) / np.nanstd(log)
    np.testing.assert_allclose(columns["price"], np.nan_to_num(expected, nan=0.0), rtol=1e-3, atol=1e-3)
    year = seen["year"].to_numpy().astype(np.float64)
    expected = (year - np.nanmean(year)) / np.nanstd(year)
    np.testing.assert_allclose(columns["year"], np.nan_to_num(expected, nan=0.0), rtol=1e-3, atol=1e-3)


def test_buckets_are_quantiles_and_0_is_missing(columns, seen):
    age = seen["Age"].to_numpy()
    bucket = columns["Age_bucket"]
    np.testing.assert_array_equal(bucket == 0, np.isnan(age))
    present = ~np.isnan(age)
    assert set(bucket[present]) == {1, 2, 3, 4}
    order = np.argsort(age[present], kind="stable")
    assert (np.diff(bucket[present][order]) >= 0).all()
    assert np.bincount(bucket[present])[1:].min() > present.sum() / 10


def test_a_number_far_outside_falls_into_the_outer_buckets(world):
    found = of_raw(world, year=np.array([-1e6, 1e6, np.nan], np.float32))
    assert list(found["year_bucket"]) == [1, 3, 0]
    assert found["year"][2] == 0


def test_a_negative_number_under_a_logarithm_counts_as_nothing(world):
    found = of_raw(world, price=np.array([-5.0, 0.0], np.float32))["price"]
    assert found[0] == found[1]
    assert np.isfinite(found).all()


def test_what_only_test_knows_is_not_in_the_vocabulary(world, seen):
    users = set(seen[names.USER_ID].to_pylist())
    only_test = sorted(set(world.parts[TEST][names.USER_ID].to_pylist()) - users)
    known = of_raw(world, user_id=np.array(sorted(users), object))[names.USER_ID]
    vocabulary = world.events.sizes[names.USER_ID] - 1 - world.features.id_oov_buckets
    assert (known >= 1).all()
    others = of_raw(world, user_id=np.array([*only_test, world.cold_user], object))[names.USER_ID]
    assert (others > vocabulary).all()


def test_rows_are_transformed_alone(world, seen, columns):
    part = seen.slice(7, 2)
    for name, value in transformed(part, world.features, world.events.transform).items():
        np.testing.assert_allclose(value, columns[name][7:9], rtol=1e-6)


def test_empty_strings_are_missing_wherever_they_stand(world):
    tags = of_raw(world, tags=np.array([["", "t0", ""], ["", "", ""]], object))["tags"]
    assert tags[0, 0] > 0
    assert tags[0, 1] == 0
    assert (tags[1] == 0).all()
