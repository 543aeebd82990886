"""AUC, serendipity, diversity, personalisation, user coverage: oracles, scikit-learn, and properties."""

import itertools
import math

import numpy as np
import pytest
from facts import facts
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_distances

from core import metrics

N_ITEMS = 9
THOROUGH = settings(deadline=None, max_examples=150)
items_once = st.lists(st.integers(0, N_ITEMS - 1), unique=True)
# For each query a list, relevant items, and seen items; seen items are in neither of the other two.
queries = st.lists(st.tuples(items_once, items_once, items_once), min_size=1, max_size=6)
counts_of_items = st.lists(st.integers(0, 3), min_size=N_ITEMS, max_size=N_ITEMS).map(np.array)
ks = st.integers(1, N_ITEMS + 3)


def csr(sets):
    return np.cumsum([0, *map(len, sets)]), np.array([item for one in sets for item in one], dtype=np.int64)


def padded(lists, width=None):
    width = max([width or 0, *map(len, lists)])
    return np.array([[*one, *[-1] * (width - len(one))] for one in lists], dtype=np.int32).reshape(len(lists), width)


def parts(drawn):
    """Return drawn lists, relevant items and seen items, such that no seen item is in a list or relevant."""
    lists, sets, seen = (
        [[item for item in one[part] if part == 2 or item not in one[2]] for one in drawn] for part in range(3)
    )
    return lists, sets, seen


def auc(lists, sets, k, n_candidates=None, n_items=N_ITEMS):
    ranked = padded(lists)
    n_candidates = np.full(len(lists), n_items) if n_candidates is None else np.array(n_candidates)
    found = metrics.hits(ranked, *csr(sets), n_items)
    return metrics.auc(ranked, found, np.array([len(one) for one in sets]), n_candidates, k)


# ---- AUC ----


def test_auc_by_hand():
    # Items 2 and 7 of ten are relevant. 2 is before 7 of the 8 other items; 7 is not listed, and tied with 6 of the 8.
    assert auc([[5, 2, 6]], [[2, 7]], 3, n_items=10) == pytest.approx([(7 + 6 / 2) / 16])
    assert auc([[5, 2, 6]], [[2, 7]], 1, n_items=10) == pytest.approx([(2 * 7 / 2) / 16])
    assert np.isnan(auc([[1, 0]], [[]], 2)).all()
    assert np.isnan(auc([[0, 1]], [[0, 1]], 2, [2])).all()


@pytest.mark.parametrize("seed", range(3))
def test_auc_of_whole_lists_is_scikit_learn_s(seed):
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(30) for _ in range(40)]
    sets = [rng.permutation(30)[: rng.integers(1, 20)] for _ in range(40)]
    expected = [
        roc_auc_score(np.isin(np.arange(30), one), -np.argsort(ranked)) for ranked, one in zip(lists, sets, strict=True)
    ]
    assert auc(lists, sets, 30, n_items=30) == pytest.approx(expected, abs=1e-12)
    assert auc(lists, sets, 500, n_items=30) == pytest.approx(expected, abs=1e-12)


def auc_of_pairs(ranked, relevant, candidates):
    """Return the AUC over all pairs of a relevant and another candidate; items outside the list are last and tied."""
    place = {item: ranked.index(item) if item in ranked else math.inf for item in candidates}
    pairs = [(place[a], place[b]) for a in relevant for b in candidates if b not in relevant]
    return sum((a < b) + (a == b) / 2 for a, b in pairs) / len(pairs) if pairs else math.nan


@THOROUGH
@given(queries, ks)
def test_auc_is_the_share_of_pairs_in_order(drawn, k):
    lists, sets, seen = parts(drawn)
    candidates = [[item for item in range(N_ITEMS) if item not in one] for one in seen]
    expected = [
        auc_of_pairs(ranked[:k], relevant, able) for ranked, relevant, able in zip(lists, sets, candidates, strict=True)
    ]
    found = auc(lists, sets, k, [len(one) for one in candidates])
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    # Padding at any position does not change the value.
    spread = [[-1, *one] for one in lists]
    assert auc(spread, sets, k + 1, [len(one) for one in candidates]) == pytest.approx(found, abs=1e-12, nan_ok=True)


def test_auc_refuses_more_items_than_candidates():
    with pytest.raises(ValueError, match=facts("query 1 … 2, … 1 relevant … 2 others")):
        auc([[0, 1], [0, 1]], [[0], [2]], 2, [9, 2])


# ---- serendipity ----


@THOROUGH
@given(queries, counts_of_items)
def test_places_are_those_of_a_list_by_popularity(drawn, counts):
    lists, _, seen = parts(drawn)
    ranked = padded(lists, 2)
    found = metrics.popularity_ranks(ranked, counts, *csr(seen))
    by_popularity = sorted(range(N_ITEMS), key=lambda item: (-counts[item], item))
    for row, places, gone in zip(ranked, found, seen, strict=True):
        unseen = [item for item in by_popularity if item not in gone]
        assert places.tolist() == [unseen.index(item) if item >= 0 else N_ITEMS for item in row]


@THOROUGH
@given(queries, counts_of_items, ks)
def test_serendipity_is_what_the_popularity_list_lacks(drawn, counts, k):
    lists, sets, seen = parts(drawn)
    ranked = padded(lists)
    n_relevant = np.array([len(one) for one in sets])
    by_popularity = [
        [item for item in sorted(range(N_ITEMS), key=lambda item: (-counts[item], item)) if item not in gone]
        for gone in seen
    ]

    def measured(rows):
        rows = padded(rows)
        places = metrics.popularity_ranks(rows, counts, *csr(seen))
        return metrics.serendipity(metrics.hits(rows, *csr(sets), N_ITEMS), places, n_relevant, k)

    expected = [
        len((set(one[:k]) - set(known[:k])) & set(relevant)) / k if relevant else math.nan
        for one, known, relevant in zip(lists, by_popularity, sets, strict=True)
    ]
    found = measured(lists)
    assert found == pytest.approx(expected, nan_ok=True)
    precision = metrics.precision(metrics.hits(ranked, *csr(sets), N_ITEMS), n_relevant, k)
    assert not (found > precision).any()
    assert not np.nansum(measured(by_popularity))


# ---- diversity ----


@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_intra_list_diversity_is_the_mean_distance_of_pairs(k):
    rng = np.random.default_rng(k)
    vectors = rng.random((30, 7)) * (rng.random((30, 7)) < 0.4)
    vectors[:3] = 0
    known = vectors.any(axis=1)
    lists = [list(rng.permutation(30)[: rng.integers(0, 9)]) for _ in range(60)]
    distances = cosine_distances(vectors)
    expected = []
    for one in lists:
        pairs = list(itertools.combinations([item for item in one[:k] if known[item]], 2))
        expected.append(np.mean([distances[pair] for pair in pairs]) if pairs else math.nan)
    found = metrics.intra_list_diversity(padded(lists), sparse.csr_array(vectors), k)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert np.isnan(found).all() == (k == 1)


def test_intra_list_diversity_at_its_ends_and_in_parts(monkeypatch):
    vectors = sparse.csr_array(np.array([[1.0, 0], [3, 0], [0, 2], [0, 0]]))
    ranked = padded([[0, 1], [0, 2], [0, 3], [0, 1, 2, 3], []])
    expected = [0, 1, math.nan, 2 / 3, math.nan]
    assert metrics.intra_list_diversity(ranked, vectors, 4) == pytest.approx(expected, nan_ok=True)
    monkeypatch.setattr("core.metrics.diversity._QUERIES_AT_ONCE", 2)
    assert metrics.intra_list_diversity(ranked, vectors, 4) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(metrics.intra_list_diversity(ranked, sparse.csr_array((4, 0)), 4)).all()


@THOROUGH
@given(st.lists(items_once, min_size=1, max_size=7), ks)
def test_personalisation_is_the_mean_over_all_pairs(lists, k):
    tops = [set(one[:k]) for one in lists if one]
    overlaps = [len(a & b) / math.sqrt(len(a) * len(b)) for a, b in itertools.combinations(tops, 2)]
    expected = 1 - np.mean(overlaps) if overlaps else math.nan
    assert metrics.personalisation(padded(lists), N_ITEMS, k) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_personalisation_at_its_ends():
    assert metrics.personalisation(padded([[0, 1, 2], [2, 1, 0]]), 4, 3) == 0
    assert metrics.personalisation(padded([[0, 1], [2, 3]]), 4, 2) == pytest.approx(1)
    assert metrics.personalisation(padded([[0, 1], [1, 2], [3, 0]]), 4, 2) == pytest.approx(1 - 2 * 0.5 / 3)
    assert math.isnan(metrics.personalisation(padded([[0, 1], []]), 4, 2))


def test_user_coverage_counts_full_lists():
    ranked = padded([[0, 1, 2], [3, 1], []])
    assert metrics.user_coverage(ranked, 2).tolist() == [1, 1, 0]
    assert metrics.user_coverage(ranked, 3).tolist() == [1, 0, 0]
    assert metrics.user_coverage(ranked, 4).tolist() == [0, 0, 0]
    assert metrics.user_coverage(np.array([[-1, 0, 1]]), 2).tolist() == [0]


# ---- sets ----


@THOROUGH
@given(st.lists(st.lists(st.integers(0, N_ITEMS - 1)), min_size=1, max_size=5))
def test_unique_pairs_are_the_sets(lists):
    offsets, items = metrics.unique_pairs(*csr(lists), N_ITEMS)
    found = [items[offsets[row] : offsets[row + 1]].tolist() for row in range(len(lists))]
    assert found == [sorted(set(one)) for one in lists]
    assert offsets[-1] == len(items)
