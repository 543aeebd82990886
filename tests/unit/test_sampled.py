"""Metrics of one relevant item among sampled negatives: the sampling, and ranks from scores and from lists."""

import numpy as np
import pytest
from facts import facts
from hypothesis import given, settings
from hypothesis import strategies as st

from core import metrics
from core.metrics import sampled

N_ITEMS = 30


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    sets = [rng.permutation(N_ITEMS)[: rng.integers(1, 12)] for _ in range(50)]
    return np.cumsum([0, *map(len, sets)]), np.concatenate(sets), sets


def test_negatives_are_different_and_unknown(known, monkeypatch):
    offsets, items, sets = known
    found = sampled.draw_negatives(offsets, items, N_ITEMS, 15, seed=1)
    assert found.shape == (50, 15)
    for row, mine in zip(found, sets, strict=True):
        assert len(set(row)) == 15
        assert not set(row) & set(mine)
        assert set(row) <= set(range(N_ITEMS))
    assert (found == sampled.draw_negatives(offsets, items, N_ITEMS, 15, seed=1)).all()
    assert (found != sampled.draw_negatives(offsets, items, N_ITEMS, 15, seed=2)).any()
    monkeypatch.setattr(sampled, "_DRAWN_AT_ONCE", 7 * N_ITEMS)  # sample negatives for seven queries at a time
    assert (found == sampled.draw_negatives(offsets, items, N_ITEMS, 15, seed=1)).all()


def test_every_unknown_item_is_as_likely():
    offsets = np.arange(4001) * 2
    found = sampled.draw_negatives(offsets, np.tile([0, 1], 4000), 10, 4, seed=3)
    counts = np.bincount(found.ravel(), minlength=10)
    assert counts[:2].tolist() == [0, 0]
    assert np.abs(counts[2:] / 2000 - 1).max() < 0.1


def test_too_few_unknown_items_are_refused(known):
    offsets, items, _ = known
    with pytest.raises(ValueError, match=facts("25 items … query")):
        sampled.draw_negatives(offsets, items, N_ITEMS, 25, seed=1)


def test_ranks_by_score_count_ties_against_the_right_item():
    scores = np.array([[0.5, 0.9, 0.5, 0.1], [1.0, 1.0, 1.0, 1.0]])
    ranks = sampled.ranks_by_score(scores, np.array([0, 3]), np.array([[1, 2, 3], [0, 1, 2]]))
    assert ranks.tolist() == [2, 3]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_lists_and_scores_agree_and_hits_are_leave_one_out(seed, k):
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(N_ITEMS), (20, 1)), axis=1).astype(float)
    positives = rng.integers(0, N_ITEMS, 20)
    negatives = sampled.draw_negatives(np.arange(21), positives, N_ITEMS, 12, seed)
    ranks = sampled.ranks_by_score(scores, positives, negatives)
    oracle = [
        sorted([*others, own], key=lambda item, row=row: -row[item]).index(own)
        for row, own, others in zip(scores, positives, negatives, strict=True)
    ]
    assert ranks.tolist() == oracle
    ranked = np.argsort(-scores, axis=1)
    assert sampled.ranks_in_lists(ranked, positives, negatives, k).tolist() == oracle
    found, one = sampled.hits_of_ranks(ranks, k), np.ones(20, dtype=np.int64)
    assert metrics.hit_rate(found, one, k) == pytest.approx([float(rank < k) for rank in oracle])
    assert metrics.ndcg(found, one, k) == pytest.approx([(rank < k) / np.log2(rank + 2) for rank in oracle])


def test_a_list_that_ends_before_the_rank_is_known_is_refused():
    ranked = np.array([[1, 2, -1], [0, 1, 2]])
    positives, negatives = np.array([0, 0]), np.array([[1, 2, 3], [1, 2, 3]])
    assert sampled.ranks_in_lists(ranked, positives, negatives, 2).tolist() == [2, 0]
    with pytest.raises(ValueError, match=facts("3 negatives … query 0 … 3 positions")):
        sampled.ranks_in_lists(ranked, positives, negatives, 3)
