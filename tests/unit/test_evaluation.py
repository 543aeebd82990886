"""The evaluation on small data: its keys, its values compared with the functions that it calls, and its JSON."""

import json

import numpy as np
import pyarrow as pa
import pytest
from facts import facts
from scipy import sparse

from components.recommender_evaluator import evaluation, intervals, rules
from components.recommender_evaluator.settings import Rule
from core import metrics

N_QUERIES, N_ITEMS, WIDTH, KS = 80, 50, 20, (5, 10)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    sets = [np.sort(rng.permutation(N_ITEMS)[: rng.integers(0, 6)]) for _ in range(N_QUERIES)]
    chance = np.stack([rng.permutation(N_ITEMS) for _ in range(N_QUERIES)]).astype(np.int32)
    good = np.stack(
        [[*relevant, *np.setdiff1d(row, relevant)] for row, relevant in zip(chance, sets, strict=True)]
    ).astype(np.int32)
    return {
        "models": {"popularity": chance[:, :WIDTH], "model": good[:, :WIDTH], "short": chance[:, :3]},
        "offsets": np.concatenate([[0], np.cumsum([len(one) for one in sets])]),
        "items": np.concatenate(sets).astype(np.int32),
        "counts": np.maximum(40 - np.arange(N_ITEMS), 0),
        "features": pa.table({"gender": rng.choice(["F", "M"], N_QUERIES)}),
        "history": rng.random(N_QUERIES) < 0.7,
    }


def evaluated(data, **changes):
    given = {
        "relevant": (data["offsets"], data["items"]),
        "train_counts": data["counts"],
        "ks": KS,
        "features": data["features"],
        "has_history": data["history"],
        "resamples": 200,
        "seed": 3,
    }
    return evaluation.evaluate(data["models"], "model", **{**given, **changes})


def values(data, model, name, k):
    found = metrics.hits(data["models"][model], data["offsets"], data["items"], N_ITEMS)
    return metrics.RELEVANCE[name](found, np.diff(data["offsets"]), k)


def test_shape(data):
    found = evaluated(data)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["subject"], found["baselines"], found["ks"]) == ("model", ["popularity", "short"], [5, 10])
    assert list(found["models"]) == ["model", "popularity", "short"]
    every = {f"{name}@{k}" for name in metrics.METRICS for k in KS}
    paired = every - {f"{name}@{k}" for name in metrics.AGGREGATE for k in KS}
    assert all(set(row) == every for row in found["models"].values())
    assert list(found["differences"]) == ["popularity", "short"]
    assert all(set(row) == paired for row in found["differences"].values())
    with_relevant = int((np.diff(data["offsets"]) > 0).sum())
    assert (found["queries"], found["queries_with_relevant"], found["catalogue"]) == (80, with_relevant, 50)
    assert with_relevant < 80


def test_numbers_are_those_of_the_parts(data):
    found = evaluated(data)
    for model in data["models"]:
        one = values(data, model, "ndcg", 10)
        interval = intervals.of_means(one, 200, 3)
        entry = found["models"][model]["ndcg@10"]
        assert entry["mean"] == pytest.approx(np.nanmean(one))
        assert (entry["low"], entry["high"]) == pytest.approx((float(interval.low), float(interval.high)))
        assert entry["queries"] == found["queries_with_relevant"]
    difference = values(data, "model", "recall", 5) - values(data, "popularity", "recall", 5)
    assert found["differences"]["popularity"]["recall@5"]["mean"] == pytest.approx(np.nanmean(difference))
    assert found["differences"]["popularity"]["recall@5"]["low"] > 0
    assert found["models"]["short"]["precision@10"]["mean"] < found["models"]["popularity"]["precision@10"]["mean"]
    assert found["models"]["model"]["gini@10"] == {
        "mean": metrics.gini(data["models"]["model"], N_ITEMS, 10), "low": None, "high": None, "queries": 80
    }  # fmt: skip
    novelty = metrics.novelty(data["models"]["model"], data["counts"], 5)
    assert found["models"]["model"]["novelty@5"]["mean"] == pytest.approx(novelty.mean())


def test_slices_of_queries_are_the_means_of_their_queries(data):
    found = {one["name"]: one for one in evaluated(data)["slices"]}
    one = values(data, "model", "recall", 5)
    for name, mask in (
        ("user:cold", ~data["history"]),
        ("gender=F", np.array(data["features"]["gender"].to_pylist()) == "F"),
    ):
        entry = found[name]
        assert (entry["of"], entry["queries"]) == ("queries", int(mask.sum()))
        assert entry["metrics"]["recall@5"]["mean"] == pytest.approx(np.nanmean(one[mask]))
        assert set(entry["metrics"]) == {f"{metric}@{k}" for metric in metrics.BY_QUERY for k in KS}
        assert "differences" not in entry


def test_slices_of_items_restrict_what_is_relevant(data):
    found = {one["name"]: one for one in evaluated(data)["slices"]}
    cold = set(np.flatnonzero(data["counts"] == 0))
    recalls = []
    for query, row in enumerate(data["models"]["model"]):
        sought = cold & set(data["items"][data["offsets"][query] : data["offsets"][query + 1]].tolist())
        if sought:
            recalls.append(len(sought & set(row[:5].tolist())) / len(sought))
    entry = found["item:cold"]
    assert 0 < len(recalls) < found["item:warm"]["queries"]
    assert (entry["of"], entry["queries"]) == ("items", len(recalls))
    assert entry["metrics"]["recall@5"]["mean"] == pytest.approx(np.mean(recalls))
    assert set(entry["metrics"]) == {"recall@5", "recall@10"}


def test_items_are_sliced_by_their_features(data):
    half = pa.array(["even" if row % 2 == 0 else "odd" for row in range(N_ITEMS)])
    found = {one["name"]: one for one in evaluated(data, item_features=pa.table({"half": half}))["slices"]}
    recalls = []
    for query, row in enumerate(data["models"]["model"]):
        relevant = {
            item
            for item in data["items"][data["offsets"][query] : data["offsets"][query + 1]].tolist()
            if item % 2 == 0
        }
        if relevant:
            recalls.append(len(relevant & set(row[:5].tolist())) / len(relevant))
    assert (found["half=even"]["of"], found["half=even"]["queries"]) == ("items", len(recalls))
    assert found["half=even"]["metrics"]["recall@5"]["mean"] == pytest.approx(np.mean(recalls))
    assert found["half=odd"]["queries"] > 0


def test_a_compared_slice_is_an_evaluation_of_its_own_queries(data):
    rows = np.flatnonzero(~data["history"])
    sets = [data["items"][data["offsets"][row] : data["offsets"][row + 1]] for row in rows]
    alone = evaluated(
        data
        | {
            "models": {model: ranked[rows] for model, ranked in data["models"].items()},
            "offsets": np.cumsum([0, *map(len, sets)]),
            "items": np.concatenate(sets),
            "features": data["features"].take(pa.array(rows)),
            "history": data["history"][rows],
        }
    )
    found = {one["name"]: one for one in evaluated(data, compared_slices=["user:cold", "item:tail"])["slices"]}
    cold = found["user:cold"]
    assert cold["differences"] == alone["differences"]
    of_lists = {f"{name}@{k}" for name in metrics.AGGREGATE for k in KS}
    for model, row in alone["models"].items():
        assert cold["models"][model] == {label: one for label, one in row.items() if label not in of_lists}
    assert cold["metrics"] == cold["models"]["model"]
    tail = found["item:tail"]
    assert tail["metrics"] == tail["models"]["model"]
    assert tail["differences"]["popularity"]["recall@5"]["low"] > 0
    assert "models" not in found["user:warm"]


def test_grouped_auc_weighs_by_what_is_relevant(data):
    found = evaluated(data)["models"]["popularity"]
    ranked, n_relevant = data["models"]["popularity"], np.diff(data["offsets"])
    hits = metrics.hits(ranked, data["offsets"], data["items"], N_ITEMS)
    auc = metrics.auc(ranked, hits, n_relevant, np.full(N_QUERIES, N_ITEMS), 10)
    measured = n_relevant > 0
    assert found["auc@10"]["mean"] == pytest.approx(auc[measured].mean())
    assert found["grouped_auc@10"]["mean"] == pytest.approx(np.average(auc[measured], weights=n_relevant[measured]))
    assert found["grouped_auc@10"]["queries"] == found["auc@10"]["queries"] == measured.sum()
    assert found["grouped_auc@10"]["low"] < found["grouped_auc@10"]["mean"] < found["grouped_auc@10"]["high"]


def test_what_was_seen_is_no_candidate_and_never_expected(data):
    # All users have seen the three most popular items, so the fourth is the most popular that can be recommended.
    unseen = {"model": np.tile(np.arange(3, 23, dtype=np.int32), (N_QUERIES, 1))}
    relevant = (np.arange(N_QUERIES + 1), np.full(N_QUERIES, 3, dtype=np.int32))
    seen = (np.arange(N_QUERIES + 1) * 6, np.tile([0, 1, 2, 2, 1, 0], N_QUERIES))
    with_seen, without = (
        evaluated(data | {"models": unseen}, relevant=relevant, **given)["models"]["model"]
        for given in ({"seen": seen}, {})
    )
    assert (with_seen["serendipity@5"]["mean"], with_seen["precision@5"]["mean"]) == (0, pytest.approx(1 / 5))
    assert with_seen["auc@5"]["mean"] == without["auc@5"]["mean"] == 1
    last = {"model": np.tile(np.array([[30, 3]], dtype=np.int32), (N_QUERIES, 1))}
    with_seen, without = (
        evaluated(data | {"models": last}, relevant=relevant, **given)["models"]["model"]["auc@5"]["mean"]
        for given in ({"seen": seen}, {})
    )
    assert (with_seen, without) == pytest.approx((45 / 46, 48 / 49))


def test_diversity_needs_vectors(data):
    vectors = sparse.csr_array(np.eye(N_ITEMS))
    assert evaluated(data)["models"]["model"]["intra_list_diversity@5"]["mean"] is None
    assert evaluated(data, item_vectors=vectors)["models"]["model"]["intra_list_diversity@5"]["mean"] == 1


def test_probabilities_stand_beside_the_lists(data):
    assert evaluated(data)["probabilities"] is None
    labels = np.array([True, False, True, False, False, False])
    given = np.array([0.9, 0.2, 0.1, 0.3, 0.2, 0.1])
    queries = np.array([0, 0, 1, 1, 2, 2])
    found = evaluated(data, predictions=evaluation.Predictions(labels, given, queries))["probabilities"]
    assert found["pairs"] == 6
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.1, 0.7, 0.8, 0.9]).mean())
    assert found["log_loss_of_base_rate"] == pytest.approx(-(np.log(1 / 3) + 2 * np.log(2 / 3)) / 3)
    assert found["grouped_auc"] == 0.5
    assert found["auc"] == pytest.approx((4 + 0.5) / 8)
    assert sum(one["rows"] for one in found["reliability"]) == 6
    none = evaluation.Predictions(*(np.zeros(0, kind) for kind in (bool, float, int)))
    found = evaluated(data, predictions=none)["probabilities"]
    assert (found["pairs"], found["log_loss"], found["auc"], found["reliability"]) == (0, None, None, [])


def test_padding_in_short_lists_is_no_hit_in_any_slice(data):
    short = {"model": np.full((N_QUERIES, 4), -1, dtype=np.int32)}
    found = evaluated(data | {"models": short})
    assert found["models"]["model"]["recall@10"]["mean"] == 0
    assert found["models"]["model"]["novelty@10"] == {"mean": None, "low": None, "high": None, "queries": 0}
    assert all(one["metrics"]["recall@10"]["mean"] == 0 for one in found["slices"])
    assert found["differences"] == {}


def test_the_same_seed_gives_the_same_evaluation_and_the_order_of_ks_does_not_matter(data):
    assert evaluated(data) == evaluated(data, ks=(10, 5, 5))
    first, other = (evaluated(data, seed=seed)["models"]["popularity"]["ndcg@5"] for seed in (3, 4))
    assert first["mean"] == other["mean"]
    assert first["low"] != other["low"]


def test_users_with_several_queries_are_drawn_whole(data):
    # Repeating each query eight times adds no information about the users, so the intervals by user stay the same.
    times = 8
    offsets, items = data["offsets"], data["items"]
    plain = data | {"models": {"model": data["models"]["popularity"], "popularity": data["models"]["model"]}}
    tiled = plain | {
        "models": {model: np.tile(ranked, (times, 1)) for model, ranked in plain["models"].items()},
        "offsets": np.concatenate([[0], *(offsets[1:] + len(items) * time for time in range(times))]),
        "items": np.tile(items, times),
        "features": pa.concat_tables([data["features"]] * times),
        "history": np.tile(data["history"], times),
    }
    once, singly, by_user = (
        evaluated(plain), evaluated(tiled), evaluated(tiled, users=np.tile(np.arange(N_QUERIES), times))
    )  # fmt: skip
    places = (
        lambda found: found["models"]["model"]["ndcg@10"],
        lambda found: found["differences"]["popularity"]["ndcg@10"],
        lambda found: found["slices"][0]["metrics"]["recall@10"],
        lambda found: next(one for one in found["slices"] if one["name"] == "item:tail")["metrics"]["recall@5"],
    )
    for place in places:
        assert place(by_user)["queries"] == times * place(once)["queries"]
        for end in ("low", "mean", "high"):
            assert place(by_user)[end] == pytest.approx(place(once)[end])
        assert 2 * (place(singly)["high"] - place(singly)["low"]) < place(once)["high"] - place(once)["low"]


def test_without_any_relevant_item_it_still_writes_and_no_rule_passes(data):
    none = (np.zeros(N_QUERIES + 1, dtype=np.int64), np.empty(0, dtype=np.int32))
    found = evaluated(data, relevant=none)
    json.dumps(found, allow_nan=False)
    assert found["models"]["model"]["ndcg@10"] == {"mean": None, "low": None, "high": None, "queries": 0}
    wanted = [
        Rule(metric="ndcg@10", at_least=0.0),
        Rule(metric="ndcg@10", not_below="popularity"),
    ]
    assert not any(verdict.passed for verdict in rules.check(wanted, {"two_step": found}))


def test_rules_read_what_evaluate_writes(data):
    found = evaluated(data)
    wanted = [Rule(metric=f"{name}@10", not_below="popularity") for name in [*metrics.RELEVANCE, *metrics.POPULARITY]]
    verdicts = rules.check([*wanted, Rule(metric="gini@10", at_least=0.01)], {"two_step": found})
    assert all(verdict.passed for verdict in verdicts[: len(metrics.RELEVANCE)])
    worse = evaluation.evaluate(
        data["models"], "popularity", relevant=(data["offsets"], data["items"]), train_counts=data["counts"], ks=KS,
        features=data["features"], has_history=data["history"], resamples=200, seed=3,
    )  # fmt: skip
    assert not rules.check([Rule(metric=wanted[0].metric, not_below="model")], {"two_step": worse})[0].passed


def test_wrong_use(data):
    with pytest.raises(ValueError, match=facts("subject … popularity")):
        evaluation.evaluate(
            {"popularity": data["models"]["popularity"]}, "model", relevant=(data["offsets"], data["items"]),
            train_counts=data["counts"], ks=KS, features=data["features"], has_history=data["history"],
            resamples=200, seed=3,
        )  # fmt: skip
    with pytest.raises(ValueError, match=facts("ks … 1 … [0, 5]")):
        evaluated(data, ks=(0, 5))
    twice = data | {"models": {"model": np.ones((N_QUERIES, 2), dtype=np.int32)}}
    with pytest.raises(ValueError, match=facts("query 0 … item 1")):
        evaluated(twice)
