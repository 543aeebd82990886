"""The re-ranking rules, compared with oracles that compute the papers' formulas for one list and one pair at a time."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import metrics, names
from core.queries import Queries
from core.times import DAY, YEAR
from serving.item_vectors import item_vectors
from serving.rerank.diversity import REGULARIZATION
from serving.rerank.freshness import freshness
from serving.rerank.popularity import log_popularity
from serving.rerank.relevance import relevance
from serving.rerank.reranker import Reranker
from serving.rerank.settings import Reranking
from transform.features import Features

N_ITEMS = 24
FEATURES = Features.model_validate(
    {"item": {"brand": "categorical", "genres": "multi_valued", "price": "numeric", "year": "numeric"}}
).item
RNG = np.random.default_rng(3)
GENRES = [list(RNG.choice(list("pqrst"), RNG.integers(0, 4), replace=False)) for _ in range(N_ITEMS)]
BRANDS = [*RNG.choice(list("xyz"), N_ITEMS - 2), "", None]
CATALOGUE = pa.table(
    {
        names.ITEM_ID: [f"i{item}" for item in range(N_ITEMS)],
        "brand": pa.array(BRANDS, pa.string()),
        "genres": pa.array(GENRES, pa.list_(pa.string())),
        "price": pa.array([*RNG.lognormal(size=N_ITEMS - 1), None], pa.float32()),
        "year": pa.array([*RNG.integers(1980, 2000, N_ITEMS - 1), None], pa.float32()),
        names.EVENT_COUNT: (RNG.geometric(0.05, N_ITEMS) - 1) * (np.arange(N_ITEMS) % 4 > 0),
    }
)
LISTS = st.integers(0, 2**32 - 1)
PAGE = Reranking().page_size


def query_set(n_queries: int, rng: np.random.Generator) -> Queries:
    history = [[f"i{item}" for item in rng.integers(0, N_ITEMS + 2, rng.integers(0, 9))] for _ in range(n_queries)]
    return Queries(
        users=pa.table({names.USER_ID: ["u"] * n_queries}),
        time=np.full(n_queries, 900_000_000),
        history=pa.array(history, pa.list_(pa.string())),
        seen=pa.array([[]] * n_queries, pa.list_(pa.string())),
        relevant_offsets=np.zeros(n_queries + 1, np.int64),
        relevant_items=np.zeros(0, np.int32),
    )


def drawn(seed: int, n_queries: int = 5, width: int = 12) -> tuple[Queries, np.ndarray, np.ndarray]:
    """Return queries, their lists of random length, padded at the end, and scores without ties."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(N_ITEMS)[:width] for _ in range(n_queries)]).astype(np.int32)
    scores = rng.normal(3, 5, rows.shape).astype(np.float32)
    absent = np.arange(width) >= rng.integers(0, width + 1, n_queries)[:, None]
    return query_set(n_queries, rng), np.where(absent, -1, rows).astype(np.int32), np.where(absent, -np.inf, scores)


def reranked(config: dict, queries: Queries, rows: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
    return Reranker(Reranking.model_validate(config), CATALOGUE, FEATURES).rerank(queries, rows, scores, k)[0]


def greedily(rows, scores, k, weight, gain, page=1) -> list[int]:
    """Return a list by definition: the best remaining candidate is added k times, then each page is sorted by score.

    `gain` is a function of the chosen items and a candidate.
    """
    left = [int(row) for row in rows if row >= 0]
    scores = dict(zip(left, scores[: len(left)], strict=True))
    left.sort(key=lambda item: -scores[item])
    relevance = {item: 1 / math.log2(place + 2) for place, item in enumerate(left)}
    chosen: list[int] = []
    while left and len(chosen) < -(-k // page) * page:
        worth = [(1 - weight) * relevance[item] + weight * gain(chosen, item) for item in left]
        # Values that differ only by rounding count as equal; the first of them is chosen.
        chosen.append(left.pop(next(place for place, one in enumerate(worth) if one >= max(worth) - 1e-7)))
    pages = [chosen[start : start + page] for start in range(0, len(chosen), page)]
    ordered = [item for one in pages for item in sorted(one, key=lambda item: -relevance[item])]
    return [*ordered, *[-1] * k][:k]


def cosines() -> np.ndarray:
    vectors = item_vectors(CATALOGUE, FEATURES).toarray()
    length = np.linalg.norm(vectors, axis=1)
    return vectors @ vectors.T / np.outer(np.where(length > 0, length, 1), np.where(length > 0, length, 1))


COSINES = cosines()


def mmr_gain(chosen, item):
    return -sum(COSINES[item, other] for other in chosen) / max(1, len(chosen))


def nearest_gain(chosen, item):
    return -max((COSINES[item, other] for other in chosen), default=0.0)


def dpp_gain(chosen, item):
    def log_det(items):
        kernel = (1 - REGULARIZATION) * COSINES[np.ix_(items, items)]
        np.fill_diagonal(kernel, 1.0)
        return np.linalg.slogdet(kernel)[1] if items else 0.0

    return (log_det([*chosen, item]) - log_det(chosen)) / -math.log(REGULARIZATION)


def calibration_gain(history):
    shares = [dict.fromkeys(genres, 1 / len(genres)) if genres else {} for genres in GENRES]
    met = [shares[int(item[1:])] for item in history if int(item[1:]) < N_ITEMS]
    wanted = {genre: sum(one.get(genre, 0) for one in met) for genre in "pqrst"}
    total = sum(wanted.values())

    def gain(chosen, item):
        divergence = 0.0
        for genre, amount in wanted.items():
            if amount:
                p = amount / total
                q = sum(shares[one].get(genre, 0) for one in [*chosen, item]) / (len(chosen) + 1)
                divergence += p * math.log(p / (0.99 * q + 0.01 * p))
        return -divergence

    return gain


@settings(max_examples=30, deadline=None)
@given(LISTS, st.sampled_from([0.0, 0.2, 0.5, 0.9]), st.integers(1, 14))
def test_mmr_and_dpp_choose_as_their_formulas_do(seed, weight, k):
    queries, rows, scores = drawn(seed)
    nearest = {"similarity": "max"}
    for method, gain, more in (("mmr", mmr_gain, {}), ("mmr", nearest_gain, nearest), ("dpp", dpp_gain, {})):
        found = reranked({method: {"weight": weight, **more}}, queries, rows, scores, k)
        assert found.shape == (len(rows), min(k, rows.shape[1]))
        for one, row, score in zip(found, rows, scores, strict=True):
            assert one.tolist() == greedily(row, score, found.shape[1], weight, gain, PAGE), method


@settings(max_examples=30, deadline=None)
@given(LISTS, st.sampled_from([0.2, 0.6]))
def test_calibration_chooses_as_its_formula_does(seed, weight):
    queries, rows, scores = drawn(seed)
    found = reranked({"calibration": {"column": "genres", "weight": weight}}, queries, rows, scores, 10)
    for one, row, score, history in zip(found, rows, scores, queries.history.to_pylist(), strict=True):
        assert one.tolist() == greedily(row, score, 10, weight, calibration_gain(history), PAGE)


@settings(max_examples=30, deadline=None)
@given(LISTS, st.integers(1, 3), st.integers(1, 12))
def test_a_cap_holds_wherever_it_can_and_never_cuts_a_list(seed, most, first):
    queries, rows, scores = drawn(seed)
    found = reranked({"caps": [{"column": "brand", "max_items": most, "top_k": first}]}, queries, rows, scores, 12)
    for one, row, score in zip(found, rows, scores, strict=True):

        def forbidden(chosen, item):
            same = BRANDS[item] and sum(BRANDS[other] == BRANDS[item] for other in chosen) >= most
            return -1e6 if same and len(chosen) < first else 0.0

        chosen = [item for item in greedily(row, score, 12, 0.5, forbidden) if item >= 0]
        forced = [forbidden(chosen[:place], item) < 0 for place, item in enumerate(chosen)]
        worth = dict(zip(row, score, strict=True))
        expected = sorted(
            range(len(chosen)),
            key=lambda place: (place // PAGE + (place >= first), forced[place], -worth[chosen[place]]),
        )
        assert one.tolist() == [chosen[place] for place in expected] + [-1] * (12 - len(chosen))


def test_an_item_of_several_values_counts_for_each_of_them():
    genres = [["p", "q"], ["q"], ["p"], ["r"], []]
    catalogue = CATALOGUE.slice(0, 5).set_column(2, "genres", pa.array(genres, pa.list_(pa.string())))
    queries, rows = query_set(1, RNG), np.arange(5, dtype=np.int32)[None]
    reranker = Reranker(
        Reranking.model_validate({"caps": [{"column": "genres", "max_items": 1, "top_k": 3}]}), catalogue, FEATURES
    )
    assert reranker.rerank(queries, rows, -rows.astype(float), 5)[0].tolist() == [[0, 3, 4, 1, 2]]


@settings(max_examples=30, deadline=None)
@given(LISTS, st.integers(1, N_ITEMS), st.booleans(), st.sampled_from(["ranked", "retrieved"]), st.integers(1, 11))
def test_whatever_is_done_a_list_keeps_its_items_and_its_first_places_do_not_depend_on_k(seed, k, capped, cold, page):
    queries, rows, scores = drawn(seed, width=N_ITEMS)
    everything = {
        "freshness": {"column": "year", "format": "year", "half_life_days": 3650},
        "popularity": {},
        "dpp": {"weight": 0.3},
        "calibration": {"column": "genres"},
        "caps": [{"column": "brand", "max_items": 1, "top_k": 4}] if capped else [],
        "cold_items": cold,
        "page_size": page,
    }
    reranker = Reranker(Reranking.model_validate(everything), CATALOGUE, FEATURES)
    found, of_found = reranker.rerank(queries, rows, scores, N_ITEMS)
    assert (np.sort(found) == np.sort(rows)).all()
    for one, score, row, scored in zip(found, of_found, rows, scores, strict=True):
        assert dict(zip(one, score, strict=True)) == dict(zip(row, scored, strict=True))
    assert (reranker.rerank(queries, rows, scores, k)[0] == found[:, :k]).all()
    lists = ((queries.take(np.array([q])), rows[[q]], scores[[q]]) for q in range(len(rows)))
    alone = [reranker.rerank(*one, N_ITEMS)[0][0] for one in lists]
    assert (np.stack(alone) == found).all()


def test_by_default_nothing_changes_and_ties_keep_the_retrievers_order():
    queries = query_set(1, RNG)
    rows, scores = np.array([[4, 7, 2, -1]], np.int32), np.array([[0.5, 2.0, 0.5, -np.inf]])
    for config in ({}, {"mmr": {"weight": 0}}, {"popularity": {"weight": 0}}):
        assert reranked(config, queries, rows, scores, 4).tolist() == [[7, 4, 2, -1]]
    many, halves = np.arange(N_ITEMS, dtype=np.int32)[None], np.arange(N_ITEMS)[None] % 2.0
    assert reranked({}, queries, many, halves, N_ITEMS).tolist() == [[*range(1, N_ITEMS, 2), *range(0, N_ITEMS, 2)]]
    assert reranked({}, query_set(0, RNG), rows[:0], scores[:0], 4).shape == (0, 4)


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_more_weight_makes_lists_more_diverse_whatever_the_scale_of_the_scores(method):
    queries, rows, scores = drawn(8, 200, 20)
    vectors = item_vectors(CATALOGUE, FEATURES)

    def lists(weight, scale=1.0):
        return reranked({method: {"weight": weight}, "page_size": 5}, queries, rows, 7 + scale * scores, 5)

    found = [np.nanmean(metrics.intra_list_diversity(lists(weight), vectors, 5)) for weight in (0.0, 0.3, 0.6, 1.0)]
    assert found == sorted(found)
    assert found[-1] > 1.1 * found[0]
    assert (lists(0.4) == lists(0.4, 1000.0)).all()


def test_new_items_gain_and_popular_ones_lose():
    catalogue = pa.table({names.ITEM_ID: list("abc"), "year": [1990.0, 1998.0, None], names.EVENT_COUNT: [100, 0, 9]})
    queries, rows, scores = query_set(1, RNG), np.array([[0, 1, 2]], np.int32), np.array([[1.0, 0.9, 0.0]])
    fresh = {"freshness": {"column": "year", "format": "year", "half_life_days": 365, "weight": 1.0}}
    for config, first in (({}, 0), (fresh, 1), ({"popularity": {"weight": 0.5}}, 1)):
        reranker = Reranker(Reranking.model_validate(config), catalogue, {"year": FEATURES["year"]})
        assert reranker.rerank(queries, rows, scores, 1)[0].item() == first


@given(LISTS, st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_cold_items_stand_where_they_were_retrieved_and_the_ranker_has_the_other_places(seed, k):
    queries, rows, scores = drawn(seed)
    cold = CATALOGUE[names.EVENT_COUNT].to_numpy() == 0
    lists = reranked({"cold_items": "retrieved"}, queries, rows, scores, k)
    for found, row, score in zip(lists, rows, scores, strict=True):
        given = row[row >= 0].tolist()
        ranked = iter(sorted((item for item in given if not cold[item]), key=lambda item: -score[given.index(item)]))
        expected = [item if cold[item] else next(ranked) for item in given]
        assert found.tolist() == (expected + [-1] * 12)[:k]


def test_what_a_cold_item_is_worth_is_by_its_place():
    catalogue = pa.table({names.ITEM_ID: list("abc"), names.EVENT_COUNT: [9, 0, 9], "year": [1990.0, 1990.0, None]})
    lists = query_set(1, RNG), np.array([[0, 1, 2]], np.int32), np.array([[1.0, -5.0, 2.0]])
    fresh = {"column": "year", "format": "year", "half_life_days": 1e5, "weight": 0.6}
    for config, expected in (
        ({}, [2, 0, 1]),
        ({"cold_items": "retrieved"}, [2, 1, 0]),
        ({"cold_items": "retrieved", "freshness": fresh}, [1, 0, 2]),  # 0.63 + 0.6, 0.5 + 0.6, 1
    ):
        reranker = Reranker(Reranking.model_validate(config), catalogue, {"year": FEATURES["year"]})
        assert reranker.rerank(*lists, 3)[0].tolist() == [expected]


def test_freshness_halves_with_every_half_life():
    times = np.array([1000 * DAY])
    stamps = np.array([[1000 * DAY, 990 * DAY, 980 * DAY, 2000 * DAY, np.nan]])
    assert freshness(stamps, "timestamp", times, 10).tolist() == [[1, 0.5, 0.25, 1, 0]]
    assert freshness(np.array([[0.0, 10, 30, np.nan]]), "age_days", times, 10).tolist() == [[1, 0.5, 0.125, 0]]
    years = freshness(np.array([[1971.0, 1970.0]]), "year", np.array([int(YEAR)]), YEAR / DAY)
    assert years[0] == pytest.approx([1, 0.5])


def test_scores_come_to_one_scale_and_popularity_too():
    scores = np.array([[900.0, 3, 1, -np.inf], [-np.inf] * 4])
    assert relevance(scores).tolist() == [[1, 1 / math.log2(3), 0.5, -np.inf], [-np.inf] * 4]
    assert log_popularity(np.array([0, 9, 99])) == pytest.approx([0, 0.5, 1])
    assert log_popularity(np.zeros(2)).tolist() == [0, 0]


def test_memory_is_bounded_by_parts_of_the_queries_that_change_nothing(monkeypatch):
    queries, rows, scores = drawn(5, 40)
    config = {"mmr": {"weight": 0.5}, "calibration": {"column": "genres"}, "freshness": {"column": "price"}}
    whole = reranked(config, queries, rows, scores, 6)
    monkeypatch.setattr("serving.rerank.reranker._BATCH_CELLS", 12 * PAGE * 7)
    assert (reranked(config, queries, rows, scores, 6) == whole).all()


@pytest.mark.parametrize(
    "config",
    [
        {"popularity": {"weight": 1.0}},
        {"mmr": {"weight": 0.9}},
        {"dpp": {"weight": 0.5}},
        {"calibration": {"column": "genres", "weight": 0.8}},
        {"caps": [{"column": "brand", "max_items": 1}]},
        {"freshness": {"column": "year", "format": "year", "half_life_days": 3650, "weight": 1.0}},
        {"cold_items": "retrieved"},
    ],
)
def test_other_settings_rerank_as_a_new_reranker_does(config):
    lists = drawn(3, 20)
    without, changed = Reranking(), Reranking.model_validate(config)
    reranker, expected = (Reranker(each, CATALOGUE, FEATURES) for each in (without, changed))
    before = reranker.rerank(*lists, 8)[0]
    assert (before != expected.rerank(*lists, 8)[0]).any()
    assert (reranker.with_settings(changed).rerank(*lists, 8)[0] == expected.rerank(*lists, 8)[0]).all()
    assert (reranker.with_settings(changed).with_settings(without).rerank(*lists, 8)[0] == before).all()
    assert (reranker.rerank(*lists, 8)[0] == before).all()


@pytest.fixture(scope="module")
def wide():
    """Return a catalogue, its features, and one list of 120 candidates in the ranker's order."""
    rng = np.random.default_rng(0)
    catalogue = pa.table(
        {
            "item_id": [f"i{row}" for row in range(120)],
            "genres": rng.choice(list("pq"), 120).tolist(),
            "age": pa.array([1e6] * 60 + [0.0] + [1e6] * 59, pa.float32()),
        }
    )
    features = Features.model_validate({"item": {"genres": "categorical", "age": "numeric"}}).item
    lists = drawn(0)[0].take(np.array([0])), np.arange(120)[None], -np.arange(120.0)[None]
    return lambda config: Reranker(Reranking.model_validate(config), catalogue, features).rerank(*lists, 120)[0][0]


@pytest.mark.parametrize("caps", [[], [{"column": "genres", "max_items": 100}]])
def test_on_a_page_what_is_worth_most_comes_first(wide, caps):
    chosen = wide({"mmr": {"weight": 0.7}, "page_size": 1})
    found = wide({"mmr": {"weight": 0.7}, "page_size": 5, "caps": caps})
    for start in range(0, 120, 5):
        assert found[start : start + 5].tolist() == sorted(chosen[start : start + 5])
    assert found.tolist() != chosen.tolist()
    assert sorted(found) == list(range(120))


def test_what_a_boost_lifts_is_among_the_first(wide):
    fresh = {"freshness": {"column": "age", "format": "age_days", "weight": 1.0}}
    assert wide(fresh)[0] == 60
    assert wide(fresh | {"mmr": {"weight": 0.01}})[0] == 60


def test_without_weight_diversity_changes_nothing(wide):
    popular = {"freshness": {"column": "age", "format": "age_days", "weight": 0.01}}
    np.testing.assert_array_equal(wide(popular | {"mmr": {"weight": 0}}), wide(popular))
