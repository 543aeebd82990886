"""Retrieval from tables: each way to find the best items gives the lists of a search in all items."""

import faiss
import numpy as np
import pytest

from serving.retrieval import parts
from serving.retrieval.ordering import ordered, top
from serving.retrieval.retrieval import Prepared, Retrieval
from serving.retrieval.scored import DenseScores, IndexedScores, OrderedScores, Selection, SparseScores, first
from trainer.retrieval import plan
from trainer.retrieval.neighbours.settings import UserKNNSettings

N = 400
NOTHING = np.zeros((1, 0), np.float32)  # what is asked by a part that asks nothing


@pytest.fixture
def random():
    return np.random.default_rng(3)


def by_definition(scores, k):
    """Return the rows of the k highest finite scores, ties by row."""
    order = np.argsort(-scores.astype(float), kind="stable")[:k]
    return order[scores[order] > -np.inf]


# ---- order ----


@pytest.mark.parametrize("k", [0, 1, 7, 50, 200, 399, 400, 1000])
@pytest.mark.parametrize("values", [3, 10_000])
def test_the_best_are_first_and_ties_are_by_row(random, k, values):
    scores = (random.integers(-values, values, N) / 7).astype(np.float32)
    scores[random.random(N) < 0.1] = -np.inf
    np.testing.assert_array_equal(top(scores, k), by_definition(scores, k))


def test_zeros_of_either_sign_are_equal():
    assert ordered(np.array([0.0, -0.0, 1.0, -1.0, 0.0], np.float32)).tolist() == [2, 0, 1, 4, 3]


def test_the_first_allowed_are_found_however_few_there_are(random):
    order = random.permutation(N)
    for share in (0.0, 0.01, 0.5, 1.0):
        allowed = random.random(N) < share
        np.testing.assert_array_equal(first(order, allowed, 30), order[allowed[order]][:30])


# ---- kinds of scores ----


def selections(random):
    """Return selections of all, of most, of a tenth, of one and of no items."""
    one = np.zeros(N, bool)
    one[17] = True
    masks = [np.ones(N, bool), random.random(N) < 0.9, random.random(N) < 0.1, one, np.zeros(N, bool)]
    return [Selection(mask) for mask in masks]


@pytest.mark.parametrize("depth", [5, 100, N])
def test_all_ways_give_the_lists_of_a_search_in_all_items(random, depth):
    base = OrderedScores((1e-3 * random.integers(0, 50, N)).astype(np.float32))
    rows = np.sort(random.choice(N, 40, replace=False))
    added = random.normal(size=40).astype(np.float32)  # some below 0, so that items without an addition are better
    scores = base.scores.copy()
    scores[rows] += added
    sums = SparseScores(base, rows, added)
    for selection in selections(random):
        for ways, expected in (([DenseScores(scores), sums], scores), ([base], base.scores)):
            wanted = by_definition(np.where(selection.allowed, expected, -np.inf), depth)
            for each in ways:
                found = each.best(depth, selection)
                np.testing.assert_array_equal(found, wanted)
                np.testing.assert_allclose(each.at(found), expected[found])


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.9, 1.0])
def test_an_index_finds_the_best_items_of_a_filter(random, share):
    n_items, depth = 5_000, 20
    embeddings = random.normal(size=(n_items, 8)).astype(np.float32)
    graph = faiss.IndexHNSWFlat(8, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = graph.hnsw.efSearch = 200
    graph.add(embeddings)
    recalls = []
    for vector in random.normal(size=(20, 8)).astype(np.float32):
        mask = random.random(n_items) < share
        found = IndexedScores(graph, embeddings, vector).best(depth, Selection(mask))
        wanted = by_definition(np.where(mask, embeddings @ vector, -np.inf), depth)
        assert mask[found].all()
        recalls.append(np.isin(wanted, found).mean() if len(wanted) else 1.0)
    assert np.mean(recalls) > 0.97


# ---- parts ----


def test_a_sum_for_some_items_equals_that_for_all(random):
    neighbours = random.integers(0, 20_000, (20_000, 5)).astype(np.int32)
    weights = random.normal(size=neighbours.shape).astype(np.float32)
    tables = {"neighbours": neighbours, "weights": weights, "popularity": np.zeros(20_000, np.float32)}
    history = np.array([3, 8, 3, 19_999])
    for distinct, used, ages in ((False, history, [3, 2, 1, 0]), (True, history[1:], [2, 1, 0])):
        part = parts.NeighbourhoodPart(plan.Neighbours(half_life=2, distinct=distinct), tables)
        [scored] = part.score([history], NOTHING)
        assert isinstance(scored, SparseScores)
        expected = np.zeros(20_000)
        for item, age in zip(used, ages, strict=True):
            np.add.at(expected, neighbours[item], weights[item] * 0.5 ** (age / 2))
        np.testing.assert_allclose(scored.at(np.arange(20_000)), expected, atol=1e-6)


def test_a_query_without_a_history_gets_popular_items(random):
    popularity = random.random(N).astype(np.float32)
    sparse = {
        f"{name}_{key}": value
        for name in ("item_users", "user_items")
        for key, value in (("offsets", np.zeros(N + 1, int)), ("columns", np.zeros(0, int)), ("values", np.zeros(0)))
    }
    tables = sparse | {
        "popularity": popularity,
        "neighbours": np.zeros((N, 2), np.int32),
        "weights": np.zeros((N, 2), np.float32),
        "idf": np.ones(N, np.float32),
        "squares": np.ones(9, np.float32),
    }
    users = plan.UserNeighbours(settings=UserKNNSettings(), shrinkage=1.0, mean_length=2.0)
    for described in (plan.Neighbours(half_life=None, distinct=True), users):
        [scored] = parts.of_plan(described, tables).score([np.zeros(0, np.int32)], NOTHING)
        everything = Selection(np.ones(N, bool))
        np.testing.assert_array_equal(scored.best(10, everything), by_definition(popularity, 10))


# ---- fusion ----


def fusion(random, cold):
    """Return a fusion of two embedding parts over N items, and its tables."""
    described = plan.RetrievalPlan(
        parts={"events": plan.Embedding(), "features": plan.Embedding()},
        history_length=5,
        fusion=plan.Fusion(
            cold_share=1.0,
            weights={"events": 2.0, "features": 0.5},
            by_features=("features",),
            rank_constant=10.0,
            depth=30,
        ),
    )
    is_cold = random.random(N) < cold
    tables = {
        "embeddings_of_events": random.normal(size=(N, 4)).astype(np.float32),
        "embeddings_of_features": random.normal(size=(N, 4)).astype(np.float32),
        "received": np.where(is_cold, 2.0, 0.0).astype(np.float32),
        "share": np.where(is_cold, 0.0, 1.0).astype(np.float32),
        "ties": (1e-6 * random.permutation(N)).astype(np.float32),
    }
    return Retrieval(described, tables), tables


@pytest.mark.parametrize("cold", [0.0, 0.3])
def test_a_fusion_of_lists_is_that_of_all_ranks(random, cold):
    retrieval, tables = fusion(random, cold)
    asked = {label: random.normal(size=(1, 4)).astype(np.float32) for label in ("events", "features")}
    for selection in selections(random):
        query = Prepared([np.zeros(0, np.int32)], asked, [selection])
        scores = tables["ties"].astype(float)
        ranks = {}
        for label, weight in (("events", 2.0 * tables["share"]), ("features", 0.5 + tables["received"])):
            own = np.where(selection.allowed, tables[f"embeddings_of_{label}"] @ asked[label][0], -np.inf)
            ranks[label] = np.full(N, 30)
            best = by_definition(own, 30)
            ranks[label][best] = np.arange(len(best))
            scores += np.where(ranks[label] < 30, weight / (11.0 + ranks[label]), 0.0)
        for width in (10, N):
            found = retrieval.retrieve(query, width)
            wanted = by_definition(np.where(selection.allowed, scores, -np.inf).astype(np.float32), width)
            np.testing.assert_array_equal(found.rows[0, : len(wanted)], wanted)
            assert (found.rows[0, len(wanted) :] == -1).all()
            np.testing.assert_allclose(found.scores[0, : len(wanted)], scores[wanted], rtol=1e-5)
            for label, expected in ranks.items():
                np.testing.assert_array_equal(found.signals[f"rank_of_{label}"][0, : len(wanted)], expected[wanted])
        rows = np.array([[0, 5, 17, -1]])
        given = retrieval.score(query, rows)
        expected = np.where(selection.allowed, scores, -np.inf)[[0, 5, 17]]
        np.testing.assert_allclose(given.scores[0], [*expected, -np.inf], rtol=1e-5)


def test_added_items_are_those_of_a_model_that_has_them_without_events(random):
    _, tables = fusion(random, 0.3)
    first = N - 40
    tables["received"][first:], tables["share"][first:], tables["ties"][first:] = 2.0, 0.0, 0.0
    described = fusion(random, 0.0)[0].plan
    known = Retrieval(described, {name: table[:first] for name, table in tables.items()})
    added = {label: tables[f"embeddings_of_{label}"][first:] for label in described.parts}
    found, whole = known.with_items(first, 40, added), Retrieval(described, tables)
    asked = {label: random.normal(size=(1, 4)).astype(np.float32) for label in described.parts}
    for selection in selections(random):
        query = Prepared([np.array([3, first + 2], np.int32)], asked, [selection])
        for width in (10, N):
            ours, expected = found.retrieve(query, width), whole.retrieve(query, width)
            np.testing.assert_array_equal(ours.rows, expected.rows)
            np.testing.assert_allclose(ours.scores, expected.scores, rtol=1e-5)
            for name, values in expected.signals.items():
                np.testing.assert_allclose(ours.signals[name], values, rtol=1e-5)
