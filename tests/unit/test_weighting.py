"""The weights of the user–item matrix, computed by hand and by `implicit`, and the largest entries of rows."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from implicit.nearest_neighbours import bm25_weight, tfidf_weight

from trainer.retrieval import interactions
from trainer.retrieval.neighbours import nearest, weighting

COUNTS = sp.csr_matrix(np.array([[1, 0, 4, 1], [0, 2, 1, 0], [0, 0, 1, 0]], np.float32))
FREQUENT = np.log(4 / (1 + np.array([1, 1, 3, 1])))  # 1, 1, 3 and 1 of 3 rows have a column


def test_counts_of_pairs_in_the_order_of_the_users():
    users, items = pa.array(["b", "a", "b", "b"]), np.array([2, 0, 2, 1], np.int32)
    assert interactions.user_item_counts(users, items, 4).toarray().tolist() == [[0, 1, 2, 0], [1, 0, 0, 0]]


def test_unweighted_pairs_are_ones_and_the_counts_stay_as_they_were():
    counts = COUNTS.copy()
    assert weighting.weighted(counts, "none").toarray().tolist() == (COUNTS.toarray() > 0).astype(float).tolist()
    assert (counts != COUNTS).nnz == 0


def test_tf_idf_by_hand():
    found = weighting.weighted(COUNTS, "tf_idf").toarray()
    np.testing.assert_allclose(found, np.sqrt(COUNTS.toarray()) * FREQUENT, rtol=1e-6)
    assert found[:, 2].tolist() == [0, 0, 0]  # a column that every row has gets weight 0


def test_bm25_by_hand():
    counts = COUNTS.toarray()
    lengths = counts.sum(axis=1, keepdims=True)
    held_back = weighting.K1 * (1 - weighting.B + weighting.B * lengths / lengths.mean())
    expected = counts * (weighting.K1 + 1) / (counts + held_back) * FREQUENT
    np.testing.assert_allclose(weighting.weighted(COUNTS, "bm25").toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["tf_idf", "bm25"])
def test_as_implicit_weighs_but_for_one_row_more(name):
    # `implicit` uses ln(rows) - ln(1 + rows that have the column), which is below 0 if every row has the column.
    counts = sp.random(30, 12, density=0.3, random_state=0, format="csr", dtype=np.float32)
    counts.data = np.ceil(counts.data * 5)
    theirs = tfidf_weight(counts) if name == "tf_idf" else bm25_weight(counts, K1=weighting.K1, B=weighting.B)
    having = np.bincount(counts.indices, minlength=12)
    ratio = np.log(31 / (1 + having)) / (np.log(30) - np.log1p(having))
    expected = theirs.tocsr() @ sp.diags(ratio)
    np.testing.assert_allclose(weighting.weighted(counts, name).toarray(), expected.toarray(), rtol=1e-4)


@pytest.mark.parametrize("name", ["none", "tf_idf", "bm25"])
def test_no_users_no_weights(name):
    assert weighting.weighted(sp.csr_matrix((0, 3), dtype=np.float32), name).shape == (0, 3)


@pytest.mark.parametrize("name", ["tf_idf", "bm25"])
def test_a_column_that_every_row_has_stores_no_entry(name):
    found = weighting.weighted(COUNTS, name)
    assert (found.data > 0).all()
    assert found.nnz == COUNTS.nnz - 3


@pytest.mark.parametrize("name", ["none", "tf_idf", "bm25"])
@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
def test_a_user_with_every_item_leaves_neighbours_of_every_item(name, similarity):
    # item_knn weights the matrix with items as rows, so user 0, who has every item, is a column that every row has.
    counts = sp.csr_matrix(np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32))
    table = weighting.weighted(counts.T.tocsr(), name).T.tocsr()
    found, alike = nearest.nearest(table, 2, 0.0, similarity)
    assert np.isfinite(alike).all()
    assert found[0, 0] == 1
    assert found[1, 0] == 0
    assert alike[2].any() == (name == "none")


def test_stored_zeros_do_not_change_the_blocks_of_items():
    table = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 1]], np.float32))
    stored = table.copy()
    stored.data[0] = 0.0
    parts = list(nearest.blocks(stored.T.tocsr(), stored))
    assert sorted(np.concatenate(parts).tolist()) == [0, 1, 2]


# ---- the largest entries of rows ----

MATRICES = st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).integers(-3, 4, drawn[:2]).astype(np.float32)
)


@settings(max_examples=200, deadline=None)
@given(MATRICES, st.integers(0, 7))
def test_of_a_dense_row_the_largest_of_either_sign_are_kept(matrix, width):
    width = min(width, matrix.shape[1])
    columns, values = nearest.largest(matrix, width)
    assert columns.shape == values.shape == (len(matrix), width)
    for row, of_row, kept in zip(matrix, columns, values, strict=True):
        best = sorted(range(len(row)), key=lambda column: (-abs(row[column]), column))[:width]
        assert of_row.tolist() == sorted(best)
        assert kept.tolist() == row[sorted(best)].tolist()


@settings(max_examples=200, deadline=None)
@given(MATRICES, st.integers(0, 7), st.randoms())
def test_of_a_sparse_row_the_largest_come_first(matrix, width, random):
    entries = sp.coo_matrix(np.abs(matrix))
    order = list(range(entries.nnz))
    random.shuffle(order)
    row, column, value = entries.row[order], entries.col[order], entries.data[order]
    columns, values = nearest.first_of_rows(row, column, value, len(matrix), width)
    for dense, of_row, kept in zip(entries.toarray(), columns, values, strict=True):
        best = [column for column in np.argsort(-dense, kind="stable") if dense[column] > 0][:width]
        assert of_row.tolist() == [*best, *[0] * (width - len(best))]
        assert kept.tolist() == [*dense[best], *[0] * (width - len(best))]
