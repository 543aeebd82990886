"""The most similar items with shrinkage, compared with values computed by hand and with NumPy on dense matrices."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.retrieval.neighbours import nearest


def nearest_items(matrix, count, shrinkage=0.0):
    return nearest.nearest(sp.csr_matrix(np.array(matrix, np.float32)), count, shrinkage)


def test_by_hand():
    # Items 0 and 1 have two users in common, 0 and 2 one, 1 and 2 one; item 3 has none.
    matrix = [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]]
    found, cosines = nearest_items(matrix, 2)
    assert found.tolist()[:3] == [[1, 2], [0, 2], [1, 0]]
    np.testing.assert_allclose(cosines[0], [2 / np.sqrt(6), 1 / np.sqrt(3)], rtol=1e-6)
    np.testing.assert_allclose(cosines[2], [1 / np.sqrt(2), 1 / np.sqrt(3)], rtol=1e-6)
    assert cosines[3].tolist() == [0, 0]


def test_shrinkage_holds_back_what_few_users_say():
    # The one user of item 1 and three of the four users of item 2 also have item 0.
    matrix = np.array([[1, 1, 1]] + [[1, 0, 1]] * 2 + [[0, 0, 1]])
    assert nearest_items(matrix, 1)[0][0, 0] == 2
    rare = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 1], [1, 0, 1], [1, 0, 1]])
    strict, loose = nearest_items(rare, 1, shrinkage=10)[0], nearest_items(rare, 1)[0]
    assert (loose[0, 0], strict[0, 0]) == (1, 2)


def dense(table, count, shrinkage, similarity):
    """Return the `count` largest similarities of each column, and the matrix of all similarities."""
    common = table.T @ table
    square = (table * table).sum(axis=0)
    below = np.sqrt(np.outer(square, square)) if similarity == "cosine" else square[:, None] + square - common
    below += shrinkage * (table[table > 0] ** 2).mean() if (table > 0).any() else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.nan_to_num(common / below, nan=0.0)
    np.fill_diagonal(alike, 0)
    return -np.sort(-alike, axis=1)[:, : min(count, max(table.shape[1] - 1, 0))], alike


def random_table(drawn):
    users, items, weighted, seed = drawn
    rng = np.random.default_rng(seed)
    matrix = (rng.random((users, items)) < 0.5).astype(np.float32)
    return matrix * rng.integers(1, 6, matrix.shape) if weighted else matrix


TABLES = st.tuples(st.integers(1, 6), st.integers(1, 8), st.booleans(), st.integers(0, 2**32 - 1)).map(random_table)


@settings(max_examples=200, deadline=None)
@given(TABLES, st.integers(1, 10), st.sampled_from([0.0, 1.0, 10.0]), st.sampled_from(["cosine", "jaccard"]))
def test_the_largest_are_kept_and_each_stands_at_its_item(table, count, shrinkage, similarity):
    found, alike = nearest.nearest(sp.csr_matrix(table.astype(np.float32)), count, shrinkage, similarity)
    largest, every = dense(table, count, shrinkage, similarity)
    assert found.dtype == np.int32
    assert alike.dtype == np.float32
    np.testing.assert_allclose(alike, largest, rtol=1e-5)
    for item, (row, values) in enumerate(zip(found, alike, strict=True)):
        filled = values > 0
        np.testing.assert_allclose(every[item, row[filled]], values[filled], rtol=1e-5)
        assert item not in row[filled]
        assert len(set(row[filled])) == filled.sum()


def test_equal_cosines_come_in_the_order_of_the_items():
    found, cosines = nearest_items(np.ones((3, 6)), 4)
    assert (cosines == 1).all()
    assert found[3].tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("cells", [1, 50, 100, 300])
def test_how_much_is_held_at_once_changes_nothing(monkeypatch, cells):
    matrix = (np.random.default_rng(0).random((40, 23)) < 0.3).astype(np.float32)
    expected = nearest_items(matrix, 5, 2.0)
    monkeypatch.setattr(nearest, "CELLS_AT_ONCE", cells)
    for found, before in zip(nearest_items(matrix, 5, 2.0), expected, strict=True):
        np.testing.assert_array_equal(found, before)


def test_memory_is_bounded_although_few_items_have_pairs_with_all(monkeypatch):
    matrix = sp.csr_matrix(np.vstack([np.ones((1, 60)), np.eye(60)[:3]]).astype(np.float32)).tolil()
    matrix[0, 5:] = 0  # 5 items share users with others, 55 do not
    matrix = matrix.tocsr()
    monkeypatch.setattr(nearest, "CELLS_AT_ONCE", 40)
    parts = list(nearest.blocks(matrix.T.tocsr(), matrix))
    assert sorted(np.concatenate(parts).tolist()) == list(range(60))
    assert [len(part) for part in parts] == [6, 40, 14]
    assert set(parts[0]) >= set(range(5))


def test_one_item_has_no_neighbours():
    found, cosines = nearest_items([[1], [1]], 5)
    assert found.shape == cosines.shape == (1, 0)
