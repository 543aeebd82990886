"""Candidate lists as rows of a table: columns, padding, and the queries that are held out."""

import numpy as np
import pyarrow as pa
import pytest

from components.candidate_generator import candidates
from core import names
from core.queries import Candidates, Queries
from serving.candidates import candidate_table, query_inputs, stacked_signals
from serving.catalogue import Catalogue
from transform.features import Features

CATALOGUE = pa.table(
    {
        names.ITEM_ID: ["a", "b", "c", "d"],
        "genres": pa.array([["x", "y", "z"], [], None, ["x"]], pa.list_(pa.string())),
        "brand": pa.array(["k", None, "l", "m"], pa.string()),
        "price": pa.array([1.5, None, 3.5, 4.5], pa.float32()),
    }
)
FEATURES = Features.model_validate(
    {"item": {"genres": {"kind": "multi_valued", "max_values": 2}, "brand": "categorical", "price": "numeric"}}
).item


USER = Features.model_validate({"user": {"age": "numeric"}}).user
LISTED = (names.ITEM_ID, "genres", "brand", "price", names.RETRIEVAL_SCORE, names.RETRIEVAL_RANK)


def queries(users, relevant):
    """Return one query per user, with relevant items and without history."""
    empty = pa.array([[]] * len(users), pa.list_(pa.string()))
    offsets = np.r_[0, np.cumsum([len(each) for each in relevant])].astype(np.int64)
    items = np.array([item for each in relevant for item in each], np.int32)
    table = pa.table(
        {names.USER_ID: pa.array(users, pa.string()), "age": pa.array(np.arange(len(users)), pa.float32())}
    )
    return Queries(table, np.arange(len(users)) + 100, empty, empty, offsets, items)


ROWS = np.array([[2, 0, 1], [3, -1, -1]], np.int32)
SCORES = np.array([[0.9, 0.8, 0.7], [0.5, -np.inf, -np.inf]], np.float32)
FOUND = Candidates(ROWS, SCORES)


@pytest.fixture
def table():
    return candidate_table(queries(["ann", "bob"], [[1, 3], []]), FOUND, Catalogue(CATALOGUE, FEATURES))


def test_a_row_a_query_with_its_candidates_in_the_retriever_s_order(table):
    row = table.slice(0, 1).to_pylist()[0]
    assert row[names.USER_ID] == "ann"
    assert row["age"] == 0
    assert row[names.QUERY_TIME] == 100
    assert row[names.HISTORY] == []
    assert row[names.ITEM_ID] == ["c", "a", "b"]
    assert row["brand"] == ["l", "k", ""]
    assert row["price"][:2] == [3.5, 1.5]
    assert np.isnan(row["price"][2])
    assert row[names.RETRIEVAL_SCORE] == pytest.approx([0.9, 0.8, 0.7])
    assert row[names.RETRIEVAL_RANK] == [0, 1, 2]
    assert row[names.LABEL] == [0, 0, 1]
    assert row[names.WEIGHT] == [1, 1, 1]


def test_values_past_the_most_are_left_out_and_missing_ones_padded(table):
    # Two values per candidate, in the order of the candidates.
    assert table["genres"][0].as_py() == ["", "", "x", "y", "", ""]


def test_padding_has_no_id_no_features_no_weight_and_no_score(table):
    row = table.slice(1, 1).to_pylist()[0]
    assert row[names.ITEM_ID] == ["d", "", ""]
    assert row["genres"] == ["x", "", "", "", "", ""]
    assert row["brand"] == ["m", "", ""]
    assert np.isnan(row["price"][1:]).all()
    assert row[names.RETRIEVAL_SCORE] == [0.5, 0, 0]
    assert row[names.LABEL] == [0, 0, 0]
    assert row[names.WEIGHT] == [1, 0, 0]


def test_a_catalogue_in_several_chunks_or_cut_from_another_reads_the_same(table):
    chunked = pa.concat_tables([CATALOGUE.slice(0, 1), CATALOGUE.slice(1)])
    longer = pa.concat_tables([CATALOGUE, CATALOGUE]).combine_chunks().slice(4, 4)
    for other in (chunked, longer):
        found = candidate_table(queries(["ann", "bob"], [[1, 3], []]), FOUND, Catalogue(other, FEATURES))
        assert str(found.to_pylist()) == str(table.to_pylist())


def test_no_queries_make_no_rows_of_the_same_columns(table):
    none = candidate_table(queries([], []), FOUND.take(np.arange(0)), Catalogue(CATALOGUE, FEATURES))
    assert none.num_rows == 0
    assert none.column_names == table.column_names


def test_a_ranker_is_given_what_it_learned_from(table):
    given = query_inputs(queries(["ann", "bob"], [[1, 3], []]), USER)
    assert set(given) == set(table.column_names[:5])
    signals = sorted({names.RETRIEVAL_SCORE, names.RETRIEVAL_RANK, *FOUND.signals})
    stacked = stacked_signals(FOUND)
    assert stacked.shape == (2, 3, len(signals))
    for position, name in enumerate(signals):
        values = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        np.testing.assert_array_equal(stacked[..., position].ravel(), values)
    np.testing.assert_array_equal(given["age"], [0, 1])
    assert given[names.HISTORY].tolist() == [[""], [""]]


def test_all_queries_of_a_user_are_held_out_together():
    rng = np.random.default_rng(0)
    users = pa.chunked_array([[f"u{n}" for n in rng.integers(0, 2000, 3000)], [f"u{n}" for n in range(2000)]])
    held = candidates.held_out(users, 0.15, seed=1)
    by_user = {}
    for user, out in zip(users.to_pylist(), held, strict=True):
        by_user.setdefault(user, set()).add(bool(out))
    assert all(len(found) == 1 for found in by_user.values())
    share = np.mean([found == {True} for found in by_user.values()])
    assert 0.12 < share < 0.18
    np.testing.assert_array_equal(held, candidates.held_out(users, 0.15, seed=1))
    assert (held != candidates.held_out(users, 0.15, seed=2)).any()


def test_the_report_counts_queries_and_right_answers():
    query_set = queries(["ann", "bob", "cay"], [[0, 1, 2], [3], []])
    labels = np.array([[True, False, True], [False, False, False], [False, False, False]])
    assert candidates.report(labels, query_set) == {
        "queries": 3,
        "with_a_positive": 1,
        "positives": 2,
        "positives_missed": 2,
    }


def test_signals_ratings_and_what_was_missed_stand_beside_the_candidates():
    query_set = queries(["ann", "bob"], [[1, 3], []])
    query_set = Queries(**{**vars(query_set), "relevant_ratings": np.array([4.0, 2.0], np.float32)})
    found = Candidates(ROWS, SCORES, {"score_of_x": np.array([[1, 2, 3], [4, 5, 6]], np.float32)})
    missed = np.array([[False, False, True], [False] * 3])
    ranks = np.array([[0, 1, 9], [0, 9, 9]], np.float32)
    table = candidate_table(query_set, found, Catalogue(CATALOGUE, FEATURES), ranks, missed, missed_weight=0.5)
    ann, bob = table.to_pylist()
    assert ann["score_of_x"] == [1, 2, 3]
    np.testing.assert_array_equal(bob["score_of_x"], [4, np.nan, np.nan])
    np.testing.assert_array_equal(ann[names.RATING], [np.nan, np.nan, 4])
    assert np.isnan(bob[names.RATING]).all()
    assert ann[names.MISSED] == [0, 0, 1]
    assert ann[names.WEIGHT] == [1, 1, 0.5]
    assert ann[names.RETRIEVAL_RANK] == [0, 1, 9]
