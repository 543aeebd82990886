"""The engine with small stub models: the data passed between the steps, and the look-up of items and users."""

import numpy as np
import pyarrow as pa
import pytest

from core import names
from core.arrow import STRINGS, write_arrow
from core.errors import ReleaseError
from core.queries import Candidates
from serving import settings as serving_settings
from serving.catalogue import Catalogue
from serving.engine import QUERIES_AT_ONCE, TwoStep
from serving.settings import ServingSettings
from serving.users import ReleaseUsers, User, query

N = 12
TABLE = pa.table(
    {
        names.ITEM_ID: [f"i{row}" for row in range(N)],
        "genre": ["a", "b"] * (N // 2),
        "price": pa.array(np.arange(N), pa.float32()),
        names.EVENT_COUNT: np.arange(N),
    }
)
FEATURES = {"user": {"age": "numeric"}, "item": {"genre": "categorical", "price": "numeric"}}


class NearestFirst:
    """A retriever that returns the items in the order of the catalogue, without seen items."""

    def __init__(self, catalogue: Catalogue):
        self.catalogue, self.wanted = catalogue, []

    def retrieve(self, queries, k, allowed=None):
        self.wanted.append(k)
        rows = np.full((len(queries), k), -1, np.int32)
        for place, seen in enumerate(queries.seen.to_pylist()):
            free = np.setdiff1d(np.arange(N, dtype=np.int32), self.catalogue.rows(seen))[:k]
            rows[place, : len(free)] = free
        scores = np.where(rows >= 0, -rows, -np.inf).astype(np.float32)
        return Candidates(rows, scores, {"score_of_x": scores})

    def similar(self, item_id, k):
        rows = np.setdiff1d(np.arange(N, dtype=np.int32), [self.catalogue.row(item_id)])[:k]
        return rows, np.ones(len(rows), np.float32)


class Dearest:
    """A ranker that scores an item by its price, and stores the number of queries of each call."""

    def __init__(self, catalogue: Catalogue):
        self.catalogue, self.given = catalogue, []

    def rank(self, queries, candidates):
        self.given.append(len(queries))
        filled = candidates.rows >= 0
        prices = self.catalogue.gather("price", candidates.rows)
        return np.where(filled, prices, -np.inf).astype(np.float32), np.where(filled, 0.25, 0.0)


def settings(**changes):
    return ServingSettings.model_validate(
        {"name": "shop", "features": FEATURES, "candidates": 6, "exclude_seen": True} | changes
    )


def engine(**changes):
    chosen = settings(**changes)
    catalogue = Catalogue(TABLE, chosen.features.item)
    return TwoStep(NearestFirst(catalogue), Dearest(catalogue), catalogue, chosen)


def query_set(*users, **changes):
    each = [query(f"u{place}", user, settings(**changes), 100) for place, user in enumerate(users)]
    whole = each[0]
    return type(whole)(
        pa.concat_tables([one.users for one in each]),
        np.concatenate([one.time for one in each]),
        *(pa.concat_arrays([getattr(one, key) for one in each]) for key in ("history", "seen")),
        np.zeros(len(each) + 1, np.int64),
        np.zeros(0, np.int32),
        pa.concat_arrays([one.history_time for one in each]),
    )


def test_the_ranker_orders_the_candidates_that_the_retriever_returns():
    two_step = engine()
    rows, scores = two_step.recommend(query_set(User(seen=["i1"]), User()), 3)
    assert two_step.retriever.wanted == [6]
    np.testing.assert_array_equal(rows, [[6, 5, 4], [5, 4, 3]])
    np.testing.assert_array_equal(scores, [[6, 5, 4], [5, 4, 3]])


def test_the_re_ranking_of_the_settings_is_done():
    cap = {"caps": [{"column": "genre", "max_items": 1, "top_k": 2}]}
    rows, scores = engine(reranking=cap).recommend(query_set(User()), 3)
    np.testing.assert_array_equal(rows, [[5, 4, 3]])
    fresh = {"freshness": {"column": "price", "format": "age_days", "weight": 1.0, "half_life_days": 1.0}}
    rows, scores = engine(reranking=fresh).recommend(query_set(User()), 3)
    np.testing.assert_array_equal(rows, [[0, 5, 1]])  # item 0 is the newest and has the lowest score
    np.testing.assert_array_equal(scores, [[0, 5, 1]])  # the scores are those of the ranker, unchanged


def test_fewer_items_than_candidates_leave_padding_last():
    seen = [f"i{row}" for row in range(2, N)]
    rows, scores = engine().recommend(query_set(User(seen=seen)), 4)
    np.testing.assert_array_equal(rows, [[1, 0, -1, -1]])
    np.testing.assert_array_equal(scores[0][2:], [-np.inf] * 2)


def test_more_queries_than_a_batch_are_ranked_in_their_order():
    count = QUERIES_AT_ONCE + 3
    users = [User(seen=[f"i{place % N}"]) for place in range(count)]
    two_step = engine()
    rows, _ = two_step.recommend(query_set(*users), 2)
    assert two_step.ranker.given == [QUERIES_AT_ONCE, 3]
    for place, row in enumerate(rows):
        assert row.tolist() == ([6, 5] if place % N < 5 else [6, 4] if place % N == 5 else [5, 4])


def test_no_query_has_no_answer():
    rows, scores = engine().recommend(query_set(User()).take(np.zeros(0, np.int64)), 3)
    assert rows.shape == scores.shape == (0, 3)


def test_similar_items_of_an_unknown_one_are_none():
    assert engine().similar("i0", 2)[0].tolist() == [1, 2]
    assert engine().similar("nobody sells this", 2)[0].tolist() == []


# ---- the catalogue ----


def test_the_catalogue_is_decoded_once_and_looked_up_by_row():
    table = TABLE.append_column("tags", pa.array([["x", "y", "z"], None, []] * 4, STRINGS))
    features = settings(
        features={
            "item": {"genre": "categorical", "price": "numeric", "tags": {"kind": "multi_valued", "max_values": 2}}
        }
    ).features.item
    catalogue = Catalogue(table, features)
    rows = np.array([[0, 1], [-1, 2]])
    assert catalogue.gather(names.ITEM_ID, rows).tolist() == [["i0", "i1"], ["", "i2"]]
    assert catalogue.gather("tags", rows).tolist() == [[["x", "y"], ["", ""]], [["", ""], ["", ""]]]
    np.testing.assert_array_equal(catalogue.gather("price", rows), [[0, 1], [np.nan, 2]])
    assert catalogue.rows(["i3", "gone", "i0"]).tolist() == [3, -1, 0]
    assert catalogue.gather("price", rows) is not catalogue.values["price"]
    assert not np.isnan(catalogue.values["price"]).any()


def test_an_empty_catalogue_has_only_padding():
    catalogue = Catalogue(TABLE.slice(0, 0), settings().features.item)
    assert catalogue.gather("genre", np.full((2, 3), -1)).tolist() == [[""] * 3] * 2


# ---- users ----


@pytest.fixture
def folder(tmp_path):
    """Return users in two files, each sorted by id."""
    for name, ids in (("00000", ["", "b", "é"]), ("00001", ["Z", "a", "c"])):
        table = pa.table(
            {
                names.USER_ID: ids,
                "age": pa.array([None, 2.0, 3.0], pa.float32()),
                names.HISTORY: pa.array([[], [f"of {ids[1]}"], ["x", "y"]], STRINGS),
                names.HISTORY_TIME: pa.array([[], [5], [6, 7]], pa.list_(pa.int64())),
                names.EXCLUDE: pa.array([[], [f"of {ids[1]}"], ["w", "x", "y"]], STRINGS),
            }
        )
        write_arrow(table, tmp_path / f"{name}.arrow")
    return tmp_path


def test_every_user_is_found_and_nobody_else(folder):
    store = ReleaseUsers(folder)
    assert store.get("b") == User({"age": 2.0}, ["of b"], [5], ["of b"])
    assert store.get("é") == store.get("c") == User({"age": 3.0}, ["x", "y"], [6, 7], ["w", "x", "y"])
    assert store.get("") == store.get("Z") == User({"age": None}, [], [], [])
    for stranger in ("A", "bb", "d", "ÿ", "\N{GRINNING FACE}"):
        assert store.get(stranger) is None
    assert ReleaseUsers(folder / "nowhere").get("b") is None


@pytest.mark.parametrize(("exclude", "seen"), [(True, ["w", "x"]), (False, [])])
def test_seen_items_count_where_they_may_not_be_returned(exclude, seen):
    found = query("u", User(seen=["w", "x"]), settings(exclude_seen=exclude), 9)
    assert found.seen.to_pylist() == [seen]
    assert found.users["age"].to_pylist() == [None]


# ---- settings of an untrusted release ----


def test_settings_survive_a_manifest():
    assert serving_settings.read(settings().model_dump(mode="json")) == settings()


@pytest.mark.parametrize("feature", ["antigravity:Kind", {"kind": "antigravity:Kind"}])
def test_a_module_that_nobody_allowed_is_never_imported(feature):
    import sys

    value = settings().model_dump(mode="json") | {"features": {"item": {"genre": feature}}}
    with pytest.raises(ReleaseError, match="antigravity"):
        serving_settings.read(value, ["another"])
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("value", [None, [], {"features": 3}, {"features": {"user": [1]}}, {"name": "x"}])
def test_settings_that_are_wrong_are_a_release_error(value):
    with pytest.raises(ReleaseError):
        serving_settings.read(value)
