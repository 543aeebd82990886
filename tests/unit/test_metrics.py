"""Metrics, compared with values computed by hand, a brute-force oracle and scikit-learn, and their properties."""

import math

import numpy as np
import pytest
from facts import facts
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from core import metrics
from core.errors import UsageError

N_ITEMS = 12


def csr(sets):
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in sets])]).astype(np.int64)
    return offsets, np.array([item for one in sets for item in one], dtype=np.int32)


def padded(lists, width=None):
    width = max([width or 0, *map(len, lists)])
    return np.array([[*one, *[-1] * (width - len(one))] for one in lists], dtype=np.int32).reshape(len(lists), width)


def measured(name, lists, sets, k, n_items=N_ITEMS):
    offsets, items = csr(sets)
    return metrics.RELEVANCE[name](metrics.hits(padded(lists), offsets, items, n_items), np.diff(offsets), k)


# ---- by hand ----


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("precision", 3, 2 / 3),
        ("precision", 10, 2 / 10),
        ("recall", 3, 2 / 4),
        ("recall", 1, 0),
        ("f1", 3, 2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)),
        ("hit_rate", 1, 0),
        ("hit_rate", 2, 1),
        ("mrr", 1, 0),
        ("mrr", 4, 1 / 2),
        ("map", 3, (1 / 2 + 2 / 3) / 3),
        ("map", 10, (1 / 2 + 2 / 3) / 4),
        ("ndcg", 3, (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)),
        ("ndcg", 10, (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5))),
    ],
)
def test_worked_by_hand(name, k, expected):
    # The items at positions 2 and 3 of the list of 4 are relevant; there are 4 relevant items.
    assert measured(name, [[5, 1, 2, 6]], [[2, 1, 8, 9]], k) == pytest.approx([expected], abs=1e-15)


@pytest.mark.parametrize("name", metrics.RELEVANCE)
def test_nothing_relevant_is_nan_and_an_empty_list_is_zero(name):
    values = measured(name, [[1, 2], []], [[], [3]], 2)
    assert np.isnan(values[0])
    assert values[1] == 0
    offsets, items = csr([[], [3]])
    no_lists = metrics.hits(np.empty((2, 0), dtype=np.int32), offsets, items, N_ITEMS)
    assert metrics.RELEVANCE[name](no_lists, np.diff(offsets), 5)[1] == 0


def test_hits_looks_only_at_the_own_query():
    offsets, items = csr([[3], [], [0, 3]])
    ranked = padded([[0, 3, 11], [3, 0], [-1, 3, 0]])
    expected = [[False, True, False], [False, False, False], [False, True, True]]
    assert metrics.hits(ranked, offsets, items, N_ITEMS).tolist() == expected


def test_hits_does_not_overflow_on_a_large_catalogue():
    n_items = 2**30
    offsets, items = csr([[], [], [], [], [n_items - 1]])
    ranked = np.full((5, 1), n_items - 1, dtype=np.int32)
    assert metrics.hits(ranked, offsets, items, n_items)[:, 0].tolist() == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("lists", "sets", "message"),
    [
        ([[1, 2, 1]], [[1]], "query 0 … item 1"),
        ([[1], [4, 4]], [[1], [4]], "query 1 … item 4"),
        ([[1]], [[1, 2, 1]], "query 0 … item 1"),
        ([[N_ITEMS]], [[1]], "[0, 12)"),
        ([[-2]], [[1]], "[0, 12)"),
        ([[1]], [[N_ITEMS]], "[0, 12)"),
        ([[1]], [[1], [2]], "[2, K]"),
    ],
)
def test_hits_refuses_what_would_be_counted_wrongly(lists, sets, message):
    with pytest.raises(ValueError, match=facts(message)):
        measured("recall", lists, sets, 2)


def test_hits_refuses_offsets_that_do_not_fit():
    with pytest.raises(ValueError, match=facts("offsets … 0 … 1")):
        metrics.hits(padded([[1]]), np.array([0, 2]), np.array([1]), N_ITEMS)


def test_lists_by_popularity_and_exposure():
    counts = np.array([8, 4, 2, 2, 0])
    ranked = padded([[0, 1, 4], [0, 2], []])
    assert metrics.novelty(ranked, counts, 2) == pytest.approx([(1 + 2) / 2, (1 + 3) / 2, np.nan], nan_ok=True)
    # An item without events counts as having one: probability 1/16, so 4 bits.
    assert metrics.novelty(ranked, counts, 3)[0] == pytest.approx((1 + 2 + 4) / 3)
    assert np.isnan(metrics.novelty(ranked, np.zeros(5, dtype=int), 3)).all()
    assert metrics.average_popularity(ranked, counts, 3) == pytest.approx([12 / 3, 10 / 2, np.nan], nan_ok=True)
    assert metrics.catalogue_coverage(ranked, 5, 2) == pytest.approx(3 / 5)
    assert metrics.catalogue_coverage(ranked, 5, 9) == pytest.approx(4 / 5)
    # The five items are in 0, 0, 1, 1 and 2 lists: (-4·0 - 2·0 + 0·1 + 2·1 + 4·2) / (5 · 4).
    assert metrics.gini(ranked, 5, 2) == pytest.approx(10 / 20)
    assert math.isnan(metrics.gini(padded([[], []], 1), 5, 2))


def test_gini_of_all_alike_is_zero_and_of_one_item_is_near_one():
    assert metrics.gini(padded([[0, 1], [2, 3]]), 4, 2) == 0
    assert metrics.gini(padded([[0], [0], [0]]), 100, 1) == pytest.approx(0.99)


def test_parse():
    assert metrics.parse("ndcg@10") == ("ndcg", 10)
    assert metrics.parse("f1@5") == ("f1", 5)
    assert metrics.parse("catalogue_coverage@100") == ("catalogue_coverage", 100)
    for wrong in ("ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "NDCG@10", "mystery@10", "ndcg@10 "):
        with pytest.raises(UsageError, match=r"precision, recall, f1.*found"):
            metrics.parse(wrong)


# ---- independent oracles ----


def oracle(name, ranked, relevant, k):
    """Return the value of a metric for one query by its definition, with Python sets and lists."""
    if not relevant:
        return math.nan
    top = [item for item in ranked[:k] if item >= 0]
    where = [place for place, item in enumerate(ranked[:k], start=1) if item in relevant]
    found = len(set(top) & relevant)
    p, r = found / k, found / len(relevant)
    if name == "map":
        at = [len([w for w in where if w <= place]) / place for place in where]
        return sum(at) / min(k, len(relevant))
    if name == "ndcg":
        best = sum(1 / math.log2(place + 1) for place in range(1, min(k, len(relevant)) + 1))
        return sum(1 / math.log2(place + 1) for place in where) / best
    return {
        "precision": p,
        "recall": r,
        "f1": 2 * p * r / (p + r) if found else 0.0,
        "hit_rate": float(found > 0),
        "mrr": 1 / min(where) if where else 0.0,
    }[name]


@pytest.mark.parametrize("name", metrics.RELEVANCE)
@pytest.mark.parametrize("k", [1, 3, 8, 20])
def test_agrees_with_the_oracle_on_random_lists(name, k):
    rng = np.random.default_rng(k)
    lists = [list(rng.permutation(40)[: rng.integers(0, 11)]) for _ in range(300)]
    sets = [list(rng.permutation(40)[: rng.integers(0, 15)]) for _ in range(300)]
    ranked = padded(lists, 10)
    expected = [oracle(name, list(row), set(one), k) for row, one in zip(ranked, sets, strict=True)]
    assert np.isfinite(expected).sum() > 200
    assert measured(name, lists, sets, k, 40) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("k", [1, 5, 30])
def test_ndcg_agrees_with_scikit_learn(k):
    rng = np.random.default_rng(0)
    lists = [list(rng.permutation(30)) for _ in range(50)]
    sets = [list(rng.permutation(30)[: rng.integers(1, 12)]) for _ in range(50)]
    gains, scores = np.zeros((50, 30)), np.zeros((50, 30))
    for query, (ranked, relevant) in enumerate(zip(lists, sets, strict=True)):
        gains[query, relevant] = 1
        scores[query, ranked] = -np.arange(30)
    assert measured("ndcg", lists, sets, k, 30).mean() == pytest.approx(ndcg_score(gains, scores, k=k))


# ---- properties ----

# No deadline, because a busy machine is no reason to fail.
settings.register_profile("metrics", deadline=None)
settings.load_profile("metrics")

items_once = st.lists(st.integers(0, N_ITEMS - 1), unique=True)
queries = st.lists(st.tuples(items_once, items_once), min_size=1, max_size=6)
names = st.sampled_from(sorted(metrics.RELEVANCE))
ks = st.integers(1, N_ITEMS + 3)


@given(names, queries, ks)
def test_values_are_in_zero_to_one(name, drawn, k):
    values = measured(name, [ranked for ranked, _ in drawn], [relevant for _, relevant in drawn], k)
    assert (np.isnan(values) == [not relevant for _, relevant in drawn]).all()
    finite = values[np.isfinite(values)]
    assert ((finite >= 0) & (finite <= 1)).all()


@given(names, queries, ks, st.randoms(use_true_random=False))
def test_the_order_of_queries_and_of_relevant_items_does_not_matter(name, drawn, k, random):
    lists, sets = [ranked for ranked, _ in drawn], [relevant for _, relevant in drawn]
    order = random.sample(range(len(drawn)), len(drawn))
    shuffled = [random.sample(sets[query], len(sets[query])) for query in order]
    expected = measured(name, lists, sets, k)[order]
    # Each call gets all lists, because the padding of a list depends on the longest list.
    assert np.array_equal(measured(name, [lists[query] for query in order], shuffled, k), expected, equal_nan=True)


@given(st.sampled_from(["hit_rate", "mrr", "map", "ndcg"]), items_once.filter(bool), ks)
def test_a_perfect_list_has_one(name, relevant, k):
    rest = [item for item in range(N_ITEMS) if item not in relevant]
    assert measured(name, [relevant + rest], [relevant], k) == pytest.approx([1.0], abs=1e-12)


@given(items_once.filter(bool))
def test_a_list_of_exactly_the_relevant_has_precision_recall_and_f1_one(relevant):
    for name in ("precision", "recall", "f1"):
        assert measured(name, [relevant], [relevant], len(relevant)) == pytest.approx([1.0])


@given(names, items_once, items_once, ks)
def test_a_miss_after_the_end_changes_nothing(name, ranked, relevant, k):
    misses = [item for item in range(N_ITEMS) if item not in relevant and item not in ranked]
    longer = measured(name, [ranked + misses], [relevant], k)
    assert longer == pytest.approx(measured(name, [ranked], [relevant], k), nan_ok=True, abs=1e-15)


@given(names, items_once, items_once, ks, st.randoms(use_true_random=False))
def test_what_stands_after_k_changes_nothing(name, ranked, relevant, k, random):
    other = ranked[:k] + random.sample(ranked[k:], len(ranked[k:]))
    assert np.array_equal(
        measured(name, [other], [relevant], k), measured(name, [ranked], [relevant], k), equal_nan=True
    )


@given(st.sampled_from(["recall", "hit_rate", "mrr"]), items_once, items_once.filter(bool))
def test_grows_with_k(name, ranked, relevant):
    values = [measured(name, [ranked], [relevant], k)[0] for k in range(1, N_ITEMS + 3)]
    assert (np.diff(values) >= 0).all()


@given(st.sampled_from(["ndcg", "map"]), st.permutations(range(N_ITEMS)), items_once.filter(bool), ks, st.data())
def test_moving_a_relevant_item_before_a_miss_never_hurts(name, ranked, relevant, k, data):
    first, second = sorted(data.draw(st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=2, unique=True)))
    swapped = list(ranked)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    before = measured(name, [ranked], [relevant], k)[0]
    after = measured(name, [swapped], [relevant], k)[0]
    gained = int(ranked[second] in relevant) - int(ranked[first] in relevant)
    if gained == 0:
        assert after == pytest.approx(before, abs=1e-12)
    elif first < k:
        assert (after - before) * gained > 0
    else:
        assert after == before


@given(queries, ks)
def test_exposure_is_in_zero_to_one(drawn, k):
    ranked = padded([one for one, _ in drawn])
    shown = {item for one, _ in drawn for item in one[:k]}
    assert metrics.catalogue_coverage(ranked, N_ITEMS, k) == pytest.approx(len(shown) / N_ITEMS)
    value = metrics.gini(ranked, N_ITEMS, k)
    assert 0 <= value <= 1 - 1 / N_ITEMS if shown else math.isnan(value)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9))
def test_gini_is_half_the_relative_mean_absolute_difference(exposure):
    # The equivalent definition of the Gini coefficient over all pairs.
    ranked = padded([[item] for item, times in enumerate(exposure) for _ in range(times)], 1)
    n, total = len(exposure), sum(exposure)
    pairs = sum(abs(a - b) for a in exposure for b in exposure)
    expected = pairs / (2 * n * total) if total else math.nan
    assert metrics.gini(ranked, n, 1) == pytest.approx(expected, nan_ok=True)
