"""The outputs of the transform graph for raw columns: indices, with the sizes of `transform.names`, and numbers."""

import collections
import re

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from core import names
from core.names import EVAL, TEST, TRAIN
from trainer.data import user_columns
from transform import raw
from transform.names import index_sizes, outputs


@pytest.fixture(scope="module")
def seen(world) -> pa.Table:
    """Return the events that the transform graph was analysed on: train and eval."""
    return pa.concat_tables([world.parts[TRAIN], world.parts[EVAL]])


def transformed(events, features, transform):
    """Return the transformed columns of events, without histories."""
    keys = (names.USER_ID, names.ITEM_ID)
    given = {key: tf.constant(events[key].combine_chunks().to_numpy(zero_copy_only=False)) for key in keys}
    given |= raw.from_table(events, features.user | features.item) | {names.HISTORY: tf.fill([len(events), 1], "")}
    found = transform(raw.to_sparse(given))
    return {name: column.numpy() for name, column in found.items() if name != names.HISTORY}


@pytest.fixture(scope="module")
def columns(world, seen):
    return transformed(seen, world.features, world.events.transform)


def of_raw(world, **values):
    """Return the output of the transform graph for raw values, as they are in a request."""
    tensors = {name: tf.constant(value) for name, value in values.items()}
    return {name: value.numpy() for name, value in world.events.transform(raw.to_sparse(tensors)).items()}


def of_items(world, ids):
    return of_raw(world, item_id=np.array(ids, object))[names.ITEM_ID]


def test_every_output_is_dense_and_counted(world, seen, columns):
    sizes, rows = world.events.sizes, len(seen)
    words = {"about": 3, "silence": 16, "story": 7}
    weights = {f"{name}_weight": width for name, width in words.items()}
    widths = {"tags": 2, "genres": 3, "taste": 2, "picture": 3, "group": 1, "niche": 3}
    widths |= words | weights
    numbers = {"Age", "price", "year", "taste", "picture", "signed_up", "released", *weights}
    assert set(columns) == set(sizes) | numbers  # no history, which models take from the events
    for name, value in columns.items():
        assert value.shape == ((rows, widths[name]) if name in widths else (rows,))
        assert value.dtype == (np.float32 if name in numbers else np.int64)
        if name not in numbers:
            assert value.min() >= 0
            assert value.max() < sizes[name]


def test_sizes_count_missing_vocabulary_and_buckets(world, seen):
    counts = seen[names.ITEM_ID].value_counts().to_pylist()
    frequent = [each["values"] for each in counts if each["counts"] >= world.features.id_min_count]
    sizes = world.events.sizes
    assert sizes[names.ITEM_ID] == 1 + len(frequent) + world.features.id_oov_buckets
    assert sizes["gender"] == 1 + 2 + 1
    assert sizes["Age_bucket"] == 1 + 4
    assert "Age" not in sizes
    vocabularies = {"user_id_vocabulary": 3, "item_id_vocabulary": 5, "gender_vocabulary": 2, "tags_vocabulary": 1}
    vocabularies |= {"nothing_vocabulary": 0, "genres_vocabulary": 4, "brand_vocabulary": 6, "shelf_vocabulary": 2}
    vocabularies |= {"about_vocabulary": 5, "silence_vocabulary": 0, "story_vocabulary": 7}
    assert index_sizes(world.features, vocabularies)["brand"] == 1 + 6 + 2


def test_a_column_without_any_value_is_index_0(world, columns):
    assert world.events.sizes["nothing"] >= 2
    assert (columns["nothing"] == 0).all()
    assert (columns["silence"] == 0).all()
    assert (columns["silence_weight"] == 0).all()


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


def test_a_history_is_indexed_as_items_are_oldest_first(world):
    met = ["i3", "i1", "i5"]
    [found] = of_raw(world, history=np.array([met], object))[names.HISTORY]
    np.testing.assert_array_equal(found, [*of_items(world, met), 0, 0])
    assert (found[:3] > 0).all()


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


def test_a_moment_is_scaled_by_what_was_analysed_and_held_within_it(world, seen, columns):
    released = seen["released"].to_numpy().astype(np.float64)
    assert np.isnan(released).any()
    expected = (released - np.nanmean(released)) / np.nanstd(released)
    np.testing.assert_allclose(columns["released"], np.nan_to_num(expected, nan=0.0), rtol=1e-3, atol=1e-3)
    found = of_raw(world, released=np.array([-1e9, 4e9, np.nan], np.float32))["released"]
    np.testing.assert_allclose(found, [np.nanmin(expected), np.nanmax(expected), 0], rtol=1e-3)


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


# ---- text ----


def tokens(text):
    return re.findall(r"\w+", (text or "").lower())


def test_words_have_their_tf_idf(world, seen, columns):
    rows = [tokens(text)[:7] for text in seen["story"].to_pylist()]
    documents = collections.Counter(word for row in rows for word in set(row))
    counts = collections.Counter(word for row in rows for word in row)
    known = {word for word, _ in counts.most_common(7)}  # words such as the numbers of the parts are too rare
    assert known == {"the", "of", "west", "östen", "part", "g0", "g1"}
    assert world.events.sizes["story"] == 1 + 7
    for row, index, weight in zip(rows, columns["story"], columns["story_weight"], strict=True):
        inside = [word for word in row if word in known]
        expected = [
            inside.count(word) / len(inside) * (1 + np.log((1 + len(rows)) / (1 + documents[word])))
            for word in dict.fromkeys(inside)
        ]
        np.testing.assert_allclose(sorted(weight[weight > 0]), sorted(expected), rtol=1e-5)
        assert ((index > 0) == (weight > 0)).all()
        assert len(set(index[index > 0])) == len(expected)


def test_words_past_the_most_are_left_out(world):
    found = of_raw(world, about=np.array(["likes g0 and more of g1", "likes g0 and", "and"], object))["about"]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found > 0).sum(axis=1).tolist() == [3, 3, 1]


def test_text_is_read_in_lower_case_and_without_what_stands_between_words(world):
    found = of_raw(world, story=np.array(["THE... West", "the west", "unheard of, entirely", "!?", ""], object))
    np.testing.assert_array_equal(found["story"][0], found["story"][1])
    assert (found["story"][0] > 0).sum() == 2
    assert (found["story"][2] > 0).sum() == 1
    assert (found["story"][3:] == 0).all()
    assert (found["story_weight"][3:] == 0).all()
    umlaut = of_raw(world, story=np.array(["ÖSTEN", "östen", "sten"], object))["story"]
    assert umlaut[0, 0] == umlaut[1, 0] != umlaut[2, 0]


# ---- given vectors ----


def test_given_vectors_go_through_and_a_missing_one_is_zeros(seen, columns):
    taste, picture = (seen[name].to_pylist() for name in ("taste", "picture"))
    assert [] in taste
    np.testing.assert_allclose(columns["taste"], [row or [0, 0] for row in taste], rtol=1e-6)
    lengths = np.linalg.norm([row or [0, 0, 0] for row in picture], axis=1)
    assert 0 < (lengths == 0).sum() < len(lengths)
    np.testing.assert_allclose(np.linalg.norm(columns["picture"], axis=1), lengths > 0, rtol=1e-5)


def test_a_vector_that_lacks_a_number_is_missing(world):
    found = of_raw(world, taste=np.array([[1, 2], [np.nan, 3], [np.nan, np.nan]], np.float32))["taste"]
    np.testing.assert_array_equal(found, [[1, 2], [0, 0], [0, 0]])


# ---- crosses ----


def test_a_cross_is_a_bucket_for_each_combination(world):
    values = {
        "genres": np.array([["g0", "g1", ""], ["g1", "", ""], ["g0", "g1", ""], ["", "", ""], ["g0", "", ""]], object),
        "brand": np.array(["b0", "b0", "b1", "b0", ""], object),
    }
    niche = of_raw(world, **values)["niche"]
    assert [(row > 0).sum() for row in niche] == [2, 1, 2, 0, 0]
    assert niche[1, 0] in niche[0]
    assert niche[0, 0] != niche[0, 1]
    assert not set(niche[0]) & set(niche[2]) - {0}
    assert niche.max() <= 50


def test_a_cross_of_a_bucketed_number_is_of_its_bucket(world):
    given = {"gender": np.array(["f", "f", "f", "f"], object), "Age": np.array([18, 18.5, 79, np.nan], np.float32)}
    found = of_raw(world, **given)
    group, bucket = found["group"][:, 0], found["Age_bucket"]
    assert bucket[0] == bucket[1] != bucket[2]
    assert group[0] == group[1] > 0
    assert group[3] == 0


# ---- a kind outside the product ----


def test_a_kind_of_the_user_s_own_is_transformed_by_its_own_class(world, seen, columns):
    shelf = seen["shelf"].to_pylist()
    assert world.events.sizes["shelf"] == 1 + 2 + 1
    by_letter = {
        letter: {columns["shelf"][row] for row, each in enumerate(shelf) if each and each[0] == letter}
        for letter in "AB"
    }
    assert sorted(len(found) for found in by_letter.values()) == [1, 1]
    assert by_letter["A"] != by_letter["B"]
    np.testing.assert_array_equal(columns["shelf"] == 0, [each is None for each in shelf])


def test_the_columns_of_users_are_those_of_their_events(world, seen, columns):
    found = user_columns(seen, world.features, world.events.transformed)
    assert set(found) == {names.USER_ID, *outputs(world.features.user)}
    for name, values in found.items():
        np.testing.assert_array_equal(values, columns[name])
